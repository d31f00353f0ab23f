//! What was learnt of the schema before, and still holds.
//!
//! An app appends frames of one shape to one table over and over, and reads single rows of it. Asking
//! SQLite for the table and planning anew cost more than the ten rows of a small frame, and asking it
//! for the types of a table more than ten times what its row by a key does. So plans that change
//! nothing, the types of tables and the texts of views are kept, under the schema's version: SQLite
//! counts it up with every change of the schema, and [`Store`](super::Store) does with every change of
//! the catalogue (<https://www.sqlite.org/pragma.html#pragma_schema_version>).
//!
//! A transaction that is rolled back takes its version back, and another one may reach the same
//! number with another schema: what was learnt in it must be forgotten.

use crate::frame::options::AppendOptions;
use crate::frame::plan::{Plan, TableState};
use crate::sorted::SortedMap;
use arrow::datatypes::{Field, Schema, SchemaRef};
use std::rc::Rc;

/// Tables, options or shapes of frames that are in use at one time, about.
const KEPT_PLANS: usize = 16;

/// The catalogue's fields of a table, by folded column name.
pub(super) type Types = SortedMap<String, Field>;

/// What is known at one version of the schema.
#[derive(Default)]
pub(super) struct Known {
    version: i64,
    /// Something was learnt in a transaction that is not known to be committed.
    unsettled: bool,
    plans: Vec<KnownPlan>,
    /// By the table's name as SQLite says it.
    pub types: SortedMap<String, Rc<Types>>,
    /// Name and text of each, those of `temp` too.
    pub views: Option<Rc<[(String, String)]>>,
}

/// By table, options and the frame's schema.
struct KnownPlan {
    table: String,
    options: AppendOptions,
    schema: SchemaRef,
    state: Rc<TableState>,
    plan: Rc<Plan>,
}

impl Known {
    /// Forgets what is not of this version of the schema, and, outside of a transaction, what was learnt in one that
    /// ended otherwise than by a commit: SQLite may roll back by itself.
    pub fn at(&mut self, version: i64, in_transaction: bool) -> &mut Self {
        if self.version != version || (self.unsettled && !in_transaction) {
            self.clear();
            self.version = version;
        }
        self.unsettled |= in_transaction;
        self
    }

    /// A transaction begins: what was learnt in the last one holds only if that was committed.
    pub fn begin(&mut self) {
        if self.unsettled {
            self.clear();
        }
    }

    /// The transaction is committed.
    pub fn settle(&mut self) {
        self.unsettled = false;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Known::default();
    }

    /// A table as it was when a frame was last planned for it with these options; all of it still
    /// holds, but for whether it has rows.
    pub fn state(&self, table: &str, options: &AppendOptions) -> Option<Rc<TableState>> {
        let mut plans = self.plans.iter();
        plans.find(|k| k.table == table && k.options == *options).map(|k| k.state.clone())
    }

    /// The plan for a frame of this schema.
    pub fn plan(&self, table: &str, options: &AppendOptions, schema: &Schema) -> Option<Rc<Plan>> {
        let mut plans = self.plans.iter();
        plans
            .find(|k| k.table == table && k.options == *options && *k.schema == *schema)
            .map(|k| k.plan.clone())
    }

    /// Keeps a plan if it will be the same next time: if it changes neither schema nor catalogue,
    /// and asks nothing of the table's rows (an untyped column of an empty table takes the frame's
    /// type, one of a table with rows does not).
    pub fn keep(
        &mut self,
        table: &str,
        options: &AppendOptions,
        schema: &SchemaRef,
        state: &Rc<TableState>,
        plan: &Rc<Plan>,
    ) {
        let steady = plan.ddl.is_empty() && plan.catalogue.is_empty() && !plan.drop_catalogue;
        if !steady || state.columns.iter().any(|column| column.field.is_none()) {
            return;
        }
        if self.plans.len() == KEPT_PLANS {
            self.plans.remove(0);
        }
        self.plans.push(KnownPlan {
            table: table.to_owned(),
            options: options.clone(),
            schema: schema.clone(),
            state: state.clone(),
            plan: plan.clone(),
        });
    }
}
