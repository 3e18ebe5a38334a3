//! stub
use crate::{environment::Environment, error::*, signing::*};
use std::sync::Arc;
use time::OffsetDateTime;
#[derive(Debug)]
pub struct Credentials {
    pub key: AccessKey,
    pub expires: Option<OffsetDateTime>,
    pub source: String,
}
#[derive(Debug)]
pub struct CredentialCache(Environment);
impl CredentialCache {
    pub fn new(e: Environment, _p: Option<String>) -> Self {
        Self(e)
    }
    pub fn get(&self, _n: OffsetDateTime) -> Result<Arc<Credentials>, Error> {
        let g = |n| self.0.get(n).map(str::to_owned);
        match (g("AWS_ACCESS_KEY_ID"), g("AWS_SECRET_ACCESS_KEY")) {
            (Some(i), Some(s)) => Ok(Arc::new(Credentials {
                key: AccessKey {
                    id: i,
                    secret: Secret::new(s),
                    token: g("AWS_SESSION_TOKEN").map(Secret::new),
                },
                expires: None,
                source: "environment".into(),
            })),
            _ => Err(Error::new(Kind::Credentials, "none")),
        }
    }
    pub fn take_warnings(&self) -> Vec<String> {
        vec![]
    }
}
