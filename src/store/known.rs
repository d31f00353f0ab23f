//! Plans that were worked out before and still hold.
//!
//! An app appends frames of one shape to one table over and over. Asking SQLite for the table and
//! planning anew cost more than the ten rows of a small frame, so a plan that changes nothing is
//! kept, under the schema's version: SQLite counts it up with every change of the schema, and
//! [`Store`](super::Store) does with every change of the catalogue
//! (<https://www.sqlite.org/pragma.html#pragma_schema_version>).
//!
//! A transaction that is rolled back takes its version back, and another one may reach the same
//! number with another schema: what was learnt in it must be forgotten.

use crate::frame::options::AppendOptions;
use crate::frame::plan::{Plan, TableState};
use arrow::datatypes::{Schema, SchemaRef};
use std::rc::Rc;

/// Tables, options or shapes of frames that are in use at one time, about.
const KEPT_PLANS: usize = 16;

/// Plans by schema version, table, options and the frame's schema.
#[derive(Default)]
pub(super) struct KnownPlans {
    version: i64,
    kept: Vec<Known>,
}

struct Known {
    table: String,
    options: AppendOptions,
    schema: SchemaRef,
    state: Rc<TableState>,
    plan: Rc<Plan>,
}

impl KnownPlans {
    /// Forgets what is not of this version of the schema.
    pub fn at(&mut self, version: i64) -> &mut Self {
        if self.version != version {
            self.version = version;
            self.kept.clear();
        }
        self
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    /// A table as it was when a frame was last planned for it with these options; all of it still
    /// holds, but for whether it has rows.
    pub fn state(&self, table: &str, options: &AppendOptions) -> Option<Rc<TableState>> {
        let mut kept = self.kept.iter();
        kept.find(|k| k.table == table && k.options == *options).map(|k| k.state.clone())
    }

    /// The plan for a frame of this schema.
    pub fn plan(&self, table: &str, options: &AppendOptions, schema: &Schema) -> Option<Rc<Plan>> {
        let mut kept = self.kept.iter();
        kept.find(|k| k.table == table && k.options == *options && *k.schema == *schema)
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
        if self.kept.len() == KEPT_PLANS {
            self.kept.remove(0);
        }
        self.kept.push(Known {
            table: table.to_owned(),
            options: options.clone(),
            schema: schema.clone(),
            state: state.clone(),
            plan: plan.clone(),
        });
    }
}
