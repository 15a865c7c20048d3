//! `dlock get` and `dlock set`: the value that a lock guards, as JSON.

use std::io::Read;

use distributed_mutex::{LockClient, LockOptions};
use serde_json::Value;

use crate::cli::{NameArgs, SetArgs};
use crate::codes;
use crate::output::{Escaped, complain, failed, print};
use crate::{patience, store};

/// Prints the value last committed, without the lock.
pub(crate) async fn get(args: &NameArgs, url: Option<&str>) -> u8 {
    let read = async {
        let locks = store::connect(url, LockOptions::builder()).await?;
        locks.mutex::<Value>(&args.name)?.peek().await
    };
    match read.await {
        Ok(peek) if peek.token.is_some() => {
            print(format_args!("{}\n", peek.value));
            codes::OK
        }
        Ok(_) => {
            complain(format_args!(
                "lock '{}' guards no value",
                Escaped(&args.name)
            ));
            codes::REFUSED
        }
        Err(e) => failed(&e),
    }
}

/// Replaces the value under the lock.
pub(crate) async fn set(args: &SetArgs, url: Option<&str>) -> u8 {
    let value = match given(&args.value) {
        Ok(value) => value,
        Err(message) => {
            complain(message);
            return codes::DATA;
        }
    };
    match store::connect_for(url, None, Some("dlock set")).await {
        Ok(locks) => {
            let code = put(args, value, &locks).await;
            // What was not confirmed is given back, or ends at its ttl.
            let _closed = locks.close(std::time::Duration::from_secs(2)).await;
            code
        }
        Err(e) => failed(&e),
    }
}

async fn put(args: &SetArgs, value: Value, locks: &LockClient) -> u8 {
    let mutex = match locks.mutex::<Value>(&args.name) {
        Ok(mutex) => mutex,
        Err(e) => return failed(&e),
    };
    let mut guard = match patience::lock(&mutex, locks, &args.patience).await {
        Ok(guard) => guard,
        Err(code) => return code,
    };
    *guard = value;
    match guard.commit().await {
        Ok(()) => codes::OK,
        Err(e) => failed(&e),
    }
}

/// The value on the command line, or on the standard input.
fn given(text: &str) -> Result<Value, String> {
    let mut read = String::new();
    let text = if text == "-" {
        let stdin = std::io::stdin().lock();
        let mut stdin = stdin.take(LockOptions::MAX_STATE_BYTES_LIMIT as u64);
        stdin
            .read_to_string(&mut read)
            .map_err(|e| format!("cannot read the value: {e}"))?;
        read.as_str()
    } else {
        text
    };
    serde_json::from_str(text).map_err(|e| {
        format!("the value is no JSON: {e}; a text is written with quotes: '\"text\"'")
    })
}
