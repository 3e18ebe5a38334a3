//! stub
use crate::{endpoint::Endpoint, environment::Environment, error::*, log::*, signing::Algorithm};
use std::{ffi::OsString, path::PathBuf, time::Duration};
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetStream {
    Auto,
    On,
    Off,
}
#[derive(Debug)]
pub enum Command {
    Help(String),
    Version,
    Run(Box<Options>),
}
#[derive(Debug)]
pub struct Options {
    pub endpoint: Endpoint,
    pub region: String,
    pub service: String,
    pub algorithm: Algorithm,
    pub unsigned_payload: bool,
    pub headers: Vec<(String, String)>,
    pub get_stream: GetStream,
    pub timeout: Option<Duration>,
    pub tool_timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    pub drain_timeout: Option<Duration>,
    pub max_message_bytes: usize,
    pub max_in_flight: usize,
    pub ca_bundle: Option<PathBuf>,
    pub log_level: Level,
    pub log_format: Format,
    pub log_file: Option<PathBuf>,
    pub profile: Vec<String>,
    pub notes: Vec<String>,
}
pub fn parse(
    a: impl IntoIterator<Item = OsString>,
    _e: &Environment,
) -> Result<Command, Vec<Error>> {
    let a: Vec<String> = a.into_iter().map(|x| x.into_string().unwrap()).collect();
    let g = |n: &str| a.iter().position(|x| x == n).map(|i| a[i + 1].clone());
    let s = Duration::from_secs;
    Ok(Command::Run(Box::new(Options {
        endpoint: Endpoint::parse(&g("--target-url").unwrap()).unwrap(),
        region: g("--region").unwrap(),
        service: g("--service-name").unwrap(),
        algorithm: if g("--sig-version").as_deref() == Some("v4a") {
            Algorithm::V4a
        } else {
            Algorithm::V4
        },
        unsigned_payload: false,
        headers: vec![],
        get_stream: GetStream::Auto,
        timeout: Some(s(3600)),
        tool_timeout: None,
        connect_timeout: Some(s(20)),
        read_timeout: Some(s(300)),
        write_timeout: Some(s(60)),
        drain_timeout: Some(s(5)),
        max_message_bytes: 128 << 20,
        max_in_flight: 64,
        ca_bundle: None,
        log_level: if g("--log-level").is_some() { Level::Debug } else { Level::Info },
        log_format: Format::Text,
        log_file: None,
        profile: vec![],
        notes: vec![],
    })))
}
