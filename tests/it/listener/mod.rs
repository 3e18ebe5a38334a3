mod crowds;
mod isolation;
mod restarts;
mod tagged_server;
