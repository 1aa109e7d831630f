use proptest::prelude::*;
use transom_projection::{HostRoot, Projection, ProjectionOptions, Tree, ViewOptions};
use transom_test::model::{HostFiles, Model, Operation, Subject, declarations, operations};

use crate::client::Client;

/// A view of random declarations, steered at random while host files are
/// replaced, always shows what a naive tree shows.
#[test]
fn a_view_is_what_a_naive_tree_is() {
    let files = HostFiles::new().unwrap();
    let strategy = (
        declarations(&files),
        operations(&files),
        any::<bool>(),
        any::<bool>(),
    );
    let files = std::cell::RefCell::new(files);
    let mut config = ProptestConfig::with_cases(400);
    config.failure_persistence = None;
    proptest!(config, |((declared, operations, lists_with_attributes, trace) in strategy)| {
        let host = HostRoot::of_process().unwrap();
        let projection = Projection::new(host, ProjectionOptions::default());
        let options = ViewOptions { trace, ..ViewOptions::default() };
        let model = Model::build(&declared);
        let view = Tree::build(declared)
            .ok()
            .and_then(|tree| projection.pin(tree, options).ok());
        prop_assert_eq!(view.is_some(), model.is_some());
        let (Some(view), Some(mut model)) = (view, model) else {
            return Ok(());
        };
        let mut client = Client::new(&projection, &view);
        client.lists_with_attributes = lists_with_attributes;
        model.compare(&mut client);
        for operation in operations {
            match operation {
                Operation::Steer(changes) => {
                    let accepted = model.steer(&changes);
                    prop_assert_eq!(Subject::steer(&mut client, changes), accepted);
                }
                Operation::Replace(index) => files.borrow_mut().replace(index).unwrap(),
            }
            model.compare(&mut client);
        }
    });
}
