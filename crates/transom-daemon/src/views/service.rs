use transom_control::views::{
    Create, CreateReply, Describe, DescribeReply, Discard, Explain, List, ListReply, Open,
    OpenReply, Result, Statistics, StatisticsReply, Trace, TraceReply, Update, UpdateReply, Verify,
    VerifyReply, View, ViewsService,
};
use transom_control::{ConnectionId, Empty, Exchange, view::Explanation};
use transom_projection::ViewOptions;

use super::refusals::{denied, invalid, not_updated};
use super::table::{Entry, lock};
use super::{Views, Wanted, wire};
use crate::Action;

/// Longest name of a view in bytes.
const NAME_BYTES_MAX: usize = 64;

impl ViewsService for Views {
    fn create(&self, exchange: &mut Exchange, call: Create) -> Result<CreateReply> {
        let peer = exchange.peer().clone();
        self.policy.check(Action::Views, &peer).map_err(denied)?;
        let root = call.root.map(|root| exchange.take(root)).transpose()?;
        self.check_root(&peer, root.as_ref()).map_err(denied)?;
        let wanted = Wanted {
            name: call.name.as_deref().map(checked_name).transpose()?,
            tree: wire::tree(&call)?,
            options: ViewOptions {
                on_change: wire::on_change(call.on_change),
                trace: call.trace,
                ..ViewOptions::default()
            },
            keep: call.keep,
        };
        let entry = self.create(&peer, exchange.connection(), wanted)?;
        match self.mount(&entry.view) {
            Ok(mount) => Ok(CreateReply {
                view: self.describe_entry(&entry),
                descriptor: exchange.give(mount),
            }),
            Err(error) => {
                lock(&self.table).remove(entry.view.id());
                self.discard(&entry);
                Err(error)
            }
        }
    }

    fn open(&self, exchange: &mut Exchange, call: Open) -> Result<OpenReply> {
        let entry = self.find(exchange.peer(), &call.view, Action::SteerOthers)?;
        let mount = self.mount(&entry.view)?;
        Ok(OpenReply {
            descriptor: exchange.give(mount),
        })
    }

    fn update(&self, exchange: &mut Exchange, call: Update) -> Result<UpdateReply> {
        let entry = self.find(exchange.peer(), &call.view, Action::SteerOthers)?;
        let changes = wire::changes(&call.changes)?;
        let update = entry
            .view
            .prepare(changes)
            .map_err(|error| not_updated(&error))?;
        self.invalidate(update.names())?;
        let listings = update.apply();
        self.invalidate(&listings)?;
        Ok(UpdateReply {
            epoch: entry.view.epoch().into(),
        })
    }

    fn explain(&self, exchange: &mut Exchange, call: Explain) -> Result<Explanation> {
        let entry = self.find(exchange.peer(), &call.view, Action::SteerOthers)?;
        let explanation = entry.view.explain(&wire::name(&call.path)?);
        Ok(Explanation {
            text: explanation.to_string(),
            explanation: serde_json::to_value(explanation).unwrap_or_default(),
        })
    }

    fn trace(&self, exchange: &mut Exchange, call: Trace) -> Result<TraceReply> {
        let entry = self.find(exchange.peer(), &call.view, Action::Status)?;
        let trace =
            entry
                .view
                .trace()
                .ok_or_else(|| transom_control::views::Error::Unavailable {
                    message: "the view is not traced; make it with `trace`".into(),
                })?;
        Ok(TraceReply {
            trace: serde_json::to_value(trace).unwrap_or_default(),
        })
    }

    fn verify(&self, exchange: &mut Exchange, call: Verify) -> Result<VerifyReply> {
        let entry = self.find(exchange.peer(), &call.view, Action::Status)?;
        let changed = entry.view.verify().into_iter();
        Ok(VerifyReply {
            changed: changed
                .map(|input| serde_json::to_value(input).unwrap_or_default())
                .collect(),
        })
    }

    fn statistics(&self, exchange: &mut Exchange, _: Statistics) -> Result<StatisticsReply> {
        self.policy
            .check(Action::Views, exchange.peer())
            .map_err(denied)?;
        Ok(StatisticsReply {
            statistics: wire::statistics(&self.session.statistics()),
        })
    }

    fn describe(&self, exchange: &mut Exchange, call: Describe) -> Result<DescribeReply> {
        let entry = self.find(exchange.peer(), &call.view, Action::Status)?;
        Ok(DescribeReply {
            view: self.describe_entry(&entry),
        })
    }

    fn list(&self, exchange: &mut Exchange, _: List) -> Result<ListReply> {
        let peer = exchange.peer();
        let sees_all = self.policy.check(Action::Status, peer).is_ok();
        let entries: Vec<_> = lock(&self.table)
            .all()
            .filter(|entry| sees_all || entry.owner == peer.uid.as_raw())
            .cloned()
            .collect();
        Ok(ListReply {
            views: entries
                .iter()
                .map(|entry| self.describe_entry(entry))
                .collect(),
        })
    }

    fn discard(&self, exchange: &mut Exchange, call: Discard) -> Result<Empty> {
        let entry = self.find(exchange.peer(), &call.view, Action::SteerOthers)?;
        let removed = lock(&self.table).remove(entry.view.id());
        if let Some(entry) = removed {
            Views::discard(self, &entry);
        }
        Ok(Empty {})
    }

    fn connection_ended(&self, connection: ConnectionId) {
        let ended = lock(&self.table).remove_of(connection);
        for entry in ended {
            Views::discard(self, &entry);
        }
    }
}

impl Views {
    fn describe_entry(&self, entry: &Entry) -> View {
        let statistics = entry.view.statistics();
        View {
            id: entry.view.id().to_string(),
            name: entry.name.clone(),
            epoch: entry.view.epoch().into(),
            files: statistics.files,
            bytes: statistics.file_bytes,
            passthrough: self.session.passthrough(),
            keep: entry.connection.is_none(),
            owner: entry.owner,
        }
    }
}

/// A name that is no number of a view, and fits on a line.
fn checked_name(name: &str) -> Result<String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let is_id = name.parse::<transom_projection::ViewId>().is_ok();
    if name.is_empty() || name.len() > NAME_BYTES_MAX || is_id || !name.chars().all(plain) {
        return Err(invalid(format!(
            "{name:?} cannot name a view: use up to {NAME_BYTES_MAX} letters, digits, `-`, `_` \
             and `.`, but not the number of a view such as v1"
        )));
    }
    Ok(name.into())
}
