//! `io.transom.View` over a real socket.

use std::sync::Arc;

use serde_json::{Value, json};
use transom_control::view::{
    self, Change, Describe, Description, Error, Explain, Explanation, Statistics, Trace, Update,
    ViewService,
};
use transom_control::{Admission, Bytes, CallError, Client, Permission, Server, Services, Socket};

struct Fixed;

impl ViewService for Fixed {
    fn describe(&self) -> Description {
        Description {
            name: "a".into(),
            engine: "fuse".into(),
            epoch: 3,
            files: 1,
            bytes: 2,
            passthrough: true,
        }
    }

    fn update(&self, changes: &[Change]) -> Result<u64, Error> {
        match changes {
            [Change::Withdraw(name)] if name.as_path() == "b" => Ok(4),
            other => Err(Error::Refused {
                message: format!("{} changes", other.len()),
            }),
        }
    }

    fn explain(&self, path: &Bytes) -> Result<Explanation, Error> {
        Ok(Explanation {
            text: format!("{} is there", path.as_path().display()),
            explanation: json!({ "declared": true }),
        })
    }

    fn trace(&self) -> Result<Value, Error> {
        Err(Error::Unavailable {
            message: "use --trace".into(),
        })
    }

    fn statistics(&self) -> Value {
        json!({ "requests": 0 })
    }
}

#[test]
fn calls_and_replies() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("views/a");
    let socket = Socket::bind(&path, Permission::OurUser).unwrap();
    let services = Services::new([view::interface(Arc::new(Fixed))]);
    let _server = Server::start(socket, Admission::PRIVATE, services).unwrap();

    let mut client = Client::connect_to_own(&path).unwrap();
    let server = client.server().unwrap();
    assert_eq!(server.pid, rustix::process::getpid());
    assert_eq!(client.call(&Describe {}).unwrap().view.epoch, 3);
    let mut update = |changes| client.call(&Update { changes });
    let withdrawn = vec![Change::Withdraw(Bytes::from("b"))];
    assert_eq!(update(withdrawn).unwrap().epoch, 4);
    let refused = update(vec![]).unwrap_err();
    assert_eq!(refused.to_string(), "0 changes");
    assert!(matches!(refused, CallError::Method(Error::Refused { .. })));
    let path = Bytes::from("x");
    let explained = client.call(&Explain { path }).unwrap();
    assert_eq!(explained.text, "x is there");
    assert_eq!(explained.explanation, json!({ "declared": true }));
    let unavailable = client.call(&Trace {}).unwrap_err();
    assert_eq!(unavailable.to_string(), "use --trace");
    let statistics = client.call(&Statistics {}).unwrap().statistics;
    assert_eq!(statistics, json!({ "requests": 0 }));
}
