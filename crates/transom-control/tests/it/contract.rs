//! The interface files against the Rust types: each says exactly what the other
//! says.

mod description;
mod errors;
mod shape;

use std::collections::BTreeMap;
use std::sync::Arc;

use transom_control::{
    ConnectionId, Exchange, GetInfo, GetInterfaceDescription, Interface, Method, ServiceError,
    Stream, host, view, views,
};

use crate::service;
use description::{Description, Type};
use errors::check_errors;
use shape::{shape_of, variants_of};

/// What a method takes and replies.
type Methods = BTreeMap<String, (Type, Type)>;

fn method<M: Method>() -> (String, (Type, Type)) {
    let shapes = (shape_of::<M>(), shape_of::<M::Reply>());
    (M::NAME.to_owned(), shapes)
}

/// A service that answers nothing, and the shapes of all its methods.
macro_rules! refusing {
    ($service:ident: $trait:path, $of:ident;
     $($name:ident($call:ident) -> $reply:ty;)*) => {
        pub(crate) struct $service;

        impl $trait for $service {
            $(fn $name(&self, _: &mut Exchange, _: $of::$call) -> $of::Result<$reply> {
                let name = stringify!($name).to_owned();
                Err($of::Error::NotFound { name, message: String::new() })
            })*

            fn connection_ended(&self, _: ConnectionId) {}
        }

        impl $service {
            fn methods() -> Methods {
                [$(method::<$of::$call>()),*].into()
            }
        }
    };
}

refusing! { RefusingHost: host::HostService, host;
    list_modules(ListModules) -> host::ListModulesReply;
    probe(Probe) -> host::ProbeReply;
    load(Load) -> host::ContainerReply;
    offer(Offer) -> host::OfferReply;
    unload(Unload) -> transom_control::Empty;
    synchronize(Synchronize) -> transom_control::Empty;
    set_cache_budget(SetCacheBudget) -> host::SetCacheBudgetReply;
    status(Status) -> host::StatusReply;
    mount(Mount) -> host::MountReply;
    unmount(Unmount) -> transom_control::Empty;
    create_volume(CreateVolume) -> host::VolumeReply;
    rename_volume(RenameVolume) -> host::VolumeReply;
    resize_volume(ResizeVolume) -> host::VolumeReply;
    remove_volume(RemoveVolume) -> transom_control::Empty;
    counters(Counters) -> host::CountersReply;
    publish_block(PublishBlock) -> host::PublishBlockReply;
    withdraw_block(WithdrawBlock) -> transom_control::Empty;
    start_job(StartJob) -> host::TaskReply;
    start_check(StartCheck) -> host::TaskReply;
    start_format(StartFormat) -> host::TaskReply;
    pause_task(PauseTask) -> host::TaskReply;
    resume_task(ResumeTask) -> host::TaskReply;
    cancel_task(CancelTask) -> host::TaskReply;
    watch_task(WatchTask) -> Stream<host::WatchTaskReply, host::Error>;
    events(Events) -> Stream<host::EventsReply, host::Error>;
    cleanup(Cleanup) -> host::CleanupReply;
}

refusing! { RefusingViews: views::ViewsService, views;
    create(Create) -> views::CreateReply;
    open(Open) -> views::OpenReply;
    update(Update) -> views::UpdateReply;
    explain(Explain) -> view::Explanation;
    trace(Trace) -> views::TraceReply;
    verify(Verify) -> views::VerifyReply;
    statistics(Statistics) -> views::StatisticsReply;
    describe(Describe) -> views::DescribeReply;
    list(List) -> views::ListReply;
    discard(Discard) -> transom_control::Empty;
}

/// The text of an interface has these methods, of these shapes, and no type
/// that none of them uses.
fn check(interface: &str, text: &str, methods: Methods) -> Description {
    let description = Description::parse(text);
    assert_eq!(description.name, interface);
    let prefix = format!("{interface}.");
    for (name, (call, reply)) in &methods {
        let short = name.strip_prefix(&prefix).unwrap();
        let (said_call, said_reply) = description
            .methods
            .get(short)
            .unwrap_or_else(|| panic!("{name} is not in the interface file"));
        assert_eq!(&description.resolve(said_call), call, "what {name} takes");
        assert_eq!(
            &description.resolve(said_reply),
            reply,
            "what {name} replies"
        );
    }
    let names: Vec<_> = description
        .methods
        .keys()
        .map(|short| prefix.clone() + short)
        .collect();
    assert_eq!(names, methods.into_keys().collect::<Vec<_>>());
    description.check_that_all_types_are_used();
    description
}

/// What is served has all methods of the text.
fn check_table(interface: &Interface, description: &Description) {
    assert_eq!(interface.name(), description.name);
    let served: Vec<_> = interface.methods().collect();
    let described: Vec<_> = description.methods.keys().collect();
    assert_eq!(served, described);
}

#[test]
fn io_transom_host() {
    let methods = RefusingHost::methods();
    let description = check(host::INTERFACE, host::INTERFACE_TEXT, methods);
    check_table(&host::interface(Arc::new(RefusingHost)), &description);
    check_errors(&description, &variants_of::<host::Error>(), &errors::host());
}

#[test]
fn io_transom_views() {
    let methods = RefusingViews::methods();
    let description = check(views::INTERFACE, views::INTERFACE_TEXT, methods);
    check_table(&views::interface(Arc::new(RefusingViews)), &description);
    check_errors(
        &description,
        &variants_of::<views::Error>(),
        &errors::views(),
    );
}

#[test]
fn io_transom_view() {
    let methods = [
        method::<view::Describe>(),
        method::<view::Update>(),
        method::<view::Explain>(),
        method::<view::Trace>(),
        method::<view::Statistics>(),
    ];
    let description = check(view::INTERFACE, view::INTERFACE_TEXT, methods.into());
    check_errors(&description, &variants_of::<view::Error>(), &errors::view());
}

#[test]
fn org_varlink_service() {
    let text = include_str!("../../src/org.varlink.service.varlink");
    let methods = [method::<GetInfo>(), method::<GetInterfaceDescription>()];
    let description = check("org.varlink.service", text, methods.into());
    check_errors(
        &description,
        &variants_of::<ServiceError>(),
        &errors::service(),
    );
}

#[test]
fn the_interface_of_the_tests() {
    use service::{Count, Echo, Flood, Hold, Open, Panic, Read, Wait, Who};

    let methods = [
        method::<Echo>(),
        method::<Count>(),
        method::<Wait>(),
        method::<Flood>(),
        method::<Read>(),
        method::<Open>(),
        method::<Who>(),
        method::<Hold>(),
        method::<Panic>(),
    ];
    let description = check(service::INTERFACE, service::INTERFACE_TEXT, methods.into());
    check_table(&service::interface(Arc::default()), &description);
}
