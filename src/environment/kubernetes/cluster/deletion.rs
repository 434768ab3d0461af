//! Deleting one certain object and no other of its name, and waiting until it is
//! gone.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use kube::api::{DeleteParams, Preconditions};
use kube::runtime::wait::{self, await_condition, conditions::is_deleted};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::api_error::{ApiError, watch_answer, watch_words};
use super::retry::{Pauses, attempt_limit, left, persist, within};

/// A watch is renewed after this, so that a lost event costs no more.
const WATCH_SLICE: Duration = Duration::from_secs(10);

/// Asks for the deletion of the object of this `uid`; one that is gone, or that
/// another has replaced, is fine. What cannot be reached is asked again until
/// `deadline`.
pub async fn delete_exactly<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    params: DeleteParams,
    deadline: Instant,
) -> Result<(), ApiError>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let params = params.preconditions(Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: None,
    });
    match persist(deadline, async || api.delete(name, &params).await).await {
        Ok(_) => Ok(()),
        // A conflict is another uid, or a namespace that is being emptied already.
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// An object that did not go in time.
#[derive(Debug)]
pub struct StillThere<K> {
    /// As last seen; absent when it could never be read.
    pub last: Option<K>,
    /// Why it could not be read in the end.
    pub error: Option<String>,
}

/// Waits until the object of this `uid` is gone: another one of the same name is
/// not waited for.
pub async fn until_gone<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    deadline: Instant,
) -> Result<(), StillThere<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut pauses = Pauses::default();
    let mut watchable = true;
    let mut still = StillThere {
        last: None,
        error: None,
    };
    loop {
        match within(attempt_limit(deadline), api.get_opt(name)).await {
            Ok(None) => return Ok(()),
            Ok(Some(object)) if object.meta().uid.as_deref() != Some(uid) => return Ok(()),
            Ok(Some(object)) => {
                still = StillThere {
                    last: Some(object),
                    error: None,
                };
            }
            Err(error) => still.error = Some(error.to_string()),
        }
        if left(deadline).is_zero() {
            return Err(still);
        }
        if still.error.is_some() || !watchable {
            pauses.pause_until(deadline).await;
            continue;
        }
        let slice = WATCH_SLICE.min(left(deadline));
        let watch = await_condition(api.clone(), name, is_deleted(uid));
        match tokio::time::timeout(slice, watch).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(wait::Error::ProbeFailed(error))) => {
                tracing::debug!(name, error = watch_words(&error), "a watch ended");
                // Who may not watch may still get.
                watchable = watch_answer(&error) != Some(403);
                pauses.pause_until(deadline).await;
            }
            Err(_) => {}
        }
    }
}
