use std::sync::Arc;

use super::calls::{
    Create, CreateReply, Describe, DescribeReply, Discard, Explain, List, ListReply, Open,
    OpenReply, Statistics, StatisticsReply, Trace, TraceReply, Update, UpdateReply, Verify,
    VerifyReply,
};
use super::{INTERFACE, INTERFACE_TEXT, Result};
use crate::method::Empty;
use crate::view::Explanation;
use crate::{ConnectionId, Exchange, Interface};

/// What answers the calls of `io.transom.Views`. Calls come from as many threads
/// as there are clients.
#[expect(missing_docs, reason = "the interface file says what each method does")]
pub trait ViewsService: Send + Sync + 'static {
    fn create(&self, exchange: &mut Exchange, call: Create) -> Result<CreateReply>;
    fn open(&self, exchange: &mut Exchange, call: Open) -> Result<OpenReply>;
    fn update(&self, exchange: &mut Exchange, call: Update) -> Result<UpdateReply>;
    fn explain(&self, exchange: &mut Exchange, call: Explain) -> Result<Explanation>;
    fn trace(&self, exchange: &mut Exchange, call: Trace) -> Result<TraceReply>;
    fn verify(&self, exchange: &mut Exchange, call: Verify) -> Result<VerifyReply>;
    fn statistics(&self, exchange: &mut Exchange, call: Statistics) -> Result<StatisticsReply>;
    fn describe(&self, exchange: &mut Exchange, call: Describe) -> Result<DescribeReply>;
    fn list(&self, exchange: &mut Exchange, call: List) -> Result<ListReply>;
    fn discard(&self, exchange: &mut Exchange, call: Discard) -> Result<Empty>;

    /// A connection is over, and with it the views that are not to outlive it.
    fn connection_ended(&self, connection: ConnectionId);
}

/// The interface, answered by `service`.
#[must_use]
pub fn interface<S: ViewsService>(service: Arc<S>) -> Interface {
    Interface::builder(INTERFACE, INTERFACE_TEXT, service)
        .method(S::create)
        .method(S::open)
        .method(S::update)
        .method(S::explain)
        .method(S::trace)
        .method(S::verify)
        .method(S::statistics)
        .method(S::describe)
        .method(S::list)
        .method(S::discard)
        .at_end(S::connection_ended)
        .build()
}
