mod crowds;
mod exchange;
mod isolation;
mod restarts;
mod tagged_server;
mod translated;
