//! What is to be done with each kept row: put in, set, or left because somebody wrote since. Written into a temporary
//! table; rows that have the saved values already are not in it.

use sqlx::PgConnection;
use unship_core::down::LossKind;
use unship_core::sql::quote::literal;

use super::since::Since;
use super::table::{Target, value};
use crate::database::postgres::salvage::layout::{Form, Kept};
use crate::database::postgres::salvage::{run, since as notes};
use crate::ports::{DatabaseFailure, OnConflict};

/// Verdicts: `i` put in, `u` set, `r` removed, `c` conflict.
const WORK: &str = "DROP TABLE IF EXISTS pg_temp.unship_work;
    CREATE TEMP TABLE unship_work (place tid, live tid, part oid, verdict text, why text, key text)";

const GONE: &str = "the row is gone";
const CHANGED: &str = "the row was changed since";
const NEWER: &str = "the row was written since the migration was applied again";
const MOVED: &str = "the down changed the row's key";
pub(super) const NO_KEY: &str = "no key tells the rows of the table apart";
const AGAIN: &str = "a row of this key was made since";

/// What was judged.
pub(super) struct Work {
    /// Kept rows that were looked at.
    pub considered: u64,
}

/// Judges every row of a store; `again` only those that an earlier restore left.
pub(super) async fn judge(
    conn: &mut PgConnection,
    kept: &Kept,
    target: &Target,
    since: &Since,
    conflicts: OnConflict,
    again: bool,
) -> Result<Work, DatabaseFailure> {
    let what = format!("comparing {} with what is salvaged", kept.layout.table);
    let store = kept.quoted()?;
    run(conn, &what, WORK.to_owned()).await?;
    run(conn, &what, format!("ALTER TABLE {store} ADD COLUMN IF NOT EXISTS unship_left boolean")).await?;
    let left = if again { "WHERE s.unship_left" } else { "" };
    let is_watched = notes::is_watched(conn, kept).await?;
    let judged = Judged { kept, target, since, conflicts, is_watched };
    let is_row = if kept.layout.form == Form::Changed { "s.unship_op <> 'n'" } else { "true" };
    let count = format!("SELECT count(*) FILTER (WHERE {is_row}) FROM {store} s {left}");
    let considered = super::scalar::<i64>(conn, &what, count).await?;
    if matches!(kept.kind, LossKind::Rewritten { .. }) {
        // The value that the down made may be one that cannot be taken back: then it is not known who wrote it.
        run(conn, &what, "SAVEPOINT unship_compare".to_owned()).await?;
        if run(conn, &what, judged.sql(left, true)?).await.is_err() {
            run(conn, &what, "ROLLBACK TO SAVEPOINT unship_compare".to_owned()).await?;
            run(conn, &what, judged.sql(left, false)?).await?;
        }
        run(conn, &what, "RELEASE SAVEPOINT unship_compare".to_owned()).await?;
    } else {
        run(conn, &what, judged.sql(left, false)?).await?;
    }
    run(conn, &what, "ANALYZE pg_temp.unship_work".to_owned()).await?;
    Ok(Work { considered: u64::try_from(considered).unwrap_or_default() })
}

struct Judged<'a> {
    kept: &'a Kept,
    target: &'a Target,
    since: &'a Since,
    conflicts: OnConflict,
    /// Whether it was noted which rows were written while the migration was down.
    is_watched: bool,
}

impl Judged<'_> {
    fn sql(&self, left: &str, taken_back: bool) -> Result<String, DatabaseFailure> {
        let rule = match (&self.kept.kind, self.kept.layout.key.is_empty()) {
            (LossKind::Table { .. }, true) => return self.missing(left),
            (LossKind::Table { .. }, false) => self.table()?,
            (LossKind::Rows { .. } | LossKind::Sequence { .. }, true) => {
                return self.changed_without_key(left);
            }
            (LossKind::Rows { .. } | LossKind::Sequence { .. }, false) => self.rows()?,
            (LossKind::Column { .. }, _) => self.column()?,
            (LossKind::Rewritten { .. }, _) => self.rewritten(taken_back)?,
        };
        let key = self.key()?;
        Ok(format!(
            "INSERT INTO pg_temp.unship_work SELECT place, live, part, left(rule, 1), substr(rule, 3), key FROM
                (SELECT s.unship_place AS place, t.unship_ctid AS live, t.unship_part AS part, {rule} AS rule, {key} AS key
                FROM {} LEFT JOIN {} ON {}) judged WHERE rule IS NOT NULL",
            self.saved(left)?,
            self.live()?,
            self.pairs()?
        ))
    }

    /// The kept rows, called `s`.
    fn saved(&self, left: &str) -> Result<String, DatabaseFailure> {
        let number = if self.is_paired_by_mark() {
            format!(
                ", row_number() OVER (PARTITION BY s.unship_mark ORDER BY {}) AS unship_number",
                self.text("s", true)?
            )
        } else {
            String::new()
        };
        Ok(format!("(SELECT s.ctid AS unship_place, s.*{number} FROM {} s {left}) s", self.kept.quoted()?))
    }

    /// The live rows, called `t`.
    fn live(&self) -> Result<String, DatabaseFailure> {
        let number = if self.is_paired_by_mark() {
            let mark = self.kept.layout.mark_as_named("t")?;
            format!(
                ", {mark} AS unship_seen, row_number() OVER (PARTITION BY {mark} ORDER BY {}) AS unship_number",
                self.text("t", false)?
            )
        } else {
            String::new()
        };
        let from = self.target.shape.from()?;
        Ok(format!(
            "(SELECT t.ctid AS unship_ctid, t.tableoid AS unship_part, t.xmin AS unship_xmin, t.*{number} FROM {from} t) t"
        ))
    }

    /// Rows without a key that are alike in all that stayed are one as good as the other.
    fn is_paired_by_mark(&self) -> bool {
        self.kept.layout.key.is_empty() && self.kept.layout.form == Form::CopiedWhole
    }

    fn pairs(&self) -> Result<String, DatabaseFailure> {
        if self.is_paired_by_mark() {
            return Ok("t.unship_seen = s.unship_mark AND t.unship_number = s.unship_number".to_owned());
        }
        if self.kept.layout.key.is_empty() {
            return Ok("false".to_owned());
        }
        Ok(self.kept.layout.same_live_key("t", "s", |_| None)?)
    }

    /// Everything that is kept of a row as one text: of the kept row, or of the live one.
    fn text(&self, row: &str, is_kept: bool) -> Result<String, DatabaseFailure> {
        let of = |both| if is_kept { value(row, both) } else { Ok(format!("{row}.{}", both.1.quoted()?)) };
        let values: Vec<String> = self.target.columns.iter().map(of).collect::<Result<_, _>>()?;
        Ok(format!("CAST(ROW({}) AS text) COLLATE \"C\"", values.join(", ")))
    }

    fn same(&self) -> Result<String, DatabaseFailure> {
        Ok(format!("{} = {}", self.text("t", false)?, self.text("s", true)?))
    }

    /// The live row is as the migration left it, or as we made it in this transaction or another of unship's.
    fn pristine(&self) -> Result<String, DatabaseFailure> {
        let up = self.since.up.as_ref().map(|up| format!("age(t.unship_xmin) >= age('{up}'::xid) OR "));
        Ok(format!(
            "({}{} OR {})",
            up.unwrap_or_default(),
            self.since.is_ours("t.unship_xmin"),
            self.made_by_own()?
        ))
    }

    /// The live row was made by the migration, or by unship or another migration with nobody in between.
    fn made_by_own(&self) -> Result<String, DatabaseFailure> {
        let up = self
            .since
            .up
            .as_ref()
            .map_or_else(|| "false".to_owned(), |up| format!("CAST(t.unship_xmin AS text) = '{up}'"));
        if !self.is_watched {
            return Ok(up);
        }
        Ok(format!("({up} OR ({}) AND NOT {})", self.since.is_own("t.unship_xmin"), self.was_ever_written()?))
    }

    /// Somebody wrote the row while the migration was down.
    fn was_written(&self) -> Result<String, DatabaseFailure> {
        if !self.is_watched {
            return Ok("false".to_owned());
        }
        Ok(notes::was_written(self.kept, self.since.up.as_deref(), &self.since.own)?)
    }

    /// Somebody wrote the row since the step down, before the migration was applied again or after.
    fn was_ever_written(&self) -> Result<String, DatabaseFailure> {
        if !self.is_watched {
            return Ok("false".to_owned());
        }
        Ok(notes::was_written(self.kept, None, &self.since.own)?)
    }

    /// The verdict where a row is there and was written: it stays, or the saved one wins.
    fn written(&self, why: &'static str) -> Result<String, DatabaseFailure> {
        match self.conflicts {
            OnConflict::Keep => conflict(why),
            OnConflict::Saved => Ok("'u'".to_owned()),
        }
    }

    /// The same where a row is not there.
    fn gone(&self, why: &'static str) -> Result<String, DatabaseFailure> {
        match self.conflicts {
            OnConflict::Keep => conflict(why),
            OnConflict::Saved => Ok("'i'".to_owned()),
        }
    }

    fn table(&self) -> Result<String, DatabaseFailure> {
        Ok(format!(
            "CASE WHEN t.unship_ctid IS NULL AND {written} THEN {gone} WHEN t.unship_ctid IS NULL THEN 'i'
                WHEN {same} THEN NULL WHEN {written} THEN {changed} WHEN {pristine} THEN 'u' ELSE {again} END",
            written = self.was_ever_written()?,
            gone = self.gone(GONE)?,
            same = self.same()?,
            changed = self.written(CHANGED)?,
            pristine = self.pristine()?,
            again = self.written(AGAIN)?
        ))
    }

    fn rows(&self) -> Result<String, DatabaseFailure> {
        let mut columns = Vec::new();
        for both in &self.target.columns {
            columns.push(format!(
                "(s.unship_lacks @> ARRAY[{}::smallint] OR CAST(ROW({}) AS text) COLLATE \"C\" = CAST(ROW(t.{}) AS text))",
                both.0.num,
                value("s", both)?,
                both.1.quoted()?
            ));
        }
        Ok(format!(
            "CASE WHEN t.unship_ctid IS NULL AND s.unship_op = 'm' THEN {moved}
                WHEN t.unship_ctid IS NULL AND s.unship_after IS NOT NULL THEN {gone}
                WHEN t.unship_ctid IS NULL THEN 'i'
                WHEN CASE WHEN s.unship_lacks IS NULL THEN {same} ELSE {each} END THEN NULL
                WHEN {written} THEN {changed}
                WHEN {untouched} OR s.unship_after IS NOT NULL AND {mark} = s.unship_after OR s.unship_after IS NULL AND {own}
                THEN 'u' ELSE {changed} END",
            // All who could have written it are known, and they are migrations and unship.
            untouched = if self.is_watched { "s.unship_after IS NOT NULL" } else { "false" },
            moved = conflict(MOVED)?,
            gone = self.gone(GONE)?,
            same = self.same()?,
            each = columns.join(" AND "),
            // No mark is made of the columns that the migration brings, and they are set with the others.
            written = self.was_ever_written()?,
            mark = self.kept.layout.mark_as_named("t")?,
            own = self.made_by_own()?,
            changed = self.written(CHANGED)?,
        ))
    }

    /// What stayed of the row is as it was before the down, or as the down left it.
    fn unchanged(&self) -> Result<String, DatabaseFailure> {
        let mark = self.kept.layout.mark_as_named("t")?;
        Ok(format!(
            "(coalesce({mark} = s.unship_mark, false) OR s.unship_touched IS TRUE AND coalesce({mark} = s.unship_after, false))"
        ))
    }

    fn column(&self) -> Result<String, DatabaseFailure> {
        let empty: Vec<String> = self
            .target
            .written(self.kept)
            .map(|(_, live)| Ok(format!("num_nulls(t.{}) = 1", live.quoted()?)))
            .collect::<Result<_, DatabaseFailure>>()?;
        Ok(format!(
            "CASE WHEN t.unship_ctid IS NULL THEN {} WHEN {} THEN NULL WHEN NOT {} OR {} THEN {}
                WHEN {} OR {} THEN 'u' ELSE {} END",
            conflict(GONE)?,
            self.same()?,
            self.unchanged()?,
            self.was_written()?,
            self.written(CHANGED)?,
            empty.join(" AND "),
            self.pristine()?,
            self.written(NEWER)?
        ))
    }

    /// Nobody wrote the row; or the live value is what comes of taking back what the down made of the saved one, as far as a cast tells.
    fn rewritten(&self, taken_back: bool) -> Result<String, DatabaseFailure> {
        // Who writes a row is noted, or without a key that anybody writes any.
        let untouched =
            if self.is_watched { format!("NOT {}", self.was_ever_written()?) } else { "false".to_owned() };
        let (live, to) = match (self.target.written(self.kept).next(), &self.kept.layout.made_type) {
            (Some((_, live)), Some(to)) if taken_back => (live, to),
            _ => {
                return Ok(format!(
                    "CASE WHEN t.unship_ctid IS NULL THEN {} WHEN {} THEN NULL WHEN {untouched} THEN 'u' ELSE {} END",
                    conflict(GONE)?,
                    self.same()?,
                    self.written(CHANGED)?
                ));
            }
        };
        let column = format!("t.{}", live.quoted()?);
        let back = format!("CAST(CAST(substr(s.unship_made, 2) AS {to}) AS {})", live.type_name);
        Ok(format!(
            "CASE WHEN t.unship_ctid IS NULL THEN {} WHEN {} THEN NULL WHEN {untouched} THEN 'u' WHEN NOT {} THEN {changed}
                WHEN CASE left(s.unship_made, 1) WHEN 'n' THEN num_nulls({column}) = 1
                    WHEN 'v' THEN CAST(ROW({column}) AS text) = CAST(ROW({back}) AS text) ELSE false END THEN 'u'
                ELSE {changed} END",
            conflict(GONE)?,
            self.same()?,
            self.unchanged()?,
            changed = self.written(CHANGED)?
        ))
    }

    /// Without a key, what is missing is put in: each saved row as often as it was there. Where the down left a table of
    /// that name, its rows came through the up without what is kept, and nothing tells which of the saved ones they are.
    /// Where it left none, what the migration itself put in and nobody wrote since goes, as far as it was not there before.
    fn missing(&self, left: &str) -> Result<String, DatabaseFailure> {
        let rule = if self.is_watched { self.gone(NO_KEY)? } else { "'i'".to_owned() };
        let (saved, live) = (self.text("s", true)?, self.text("t", false)?);
        let is_filled_in = match &self.since.up {
            Some(up) if left.is_empty() && !self.is_watched => format!("CAST(t.xmin AS text) = '{up}'"),
            _ => "false".to_owned(),
        };
        Ok(format!(
            "WITH saved AS (SELECT s.ctid AS place, {saved} AS line,
                    row_number() OVER (PARTITION BY {saved} ORDER BY s.ctid) AS number FROM {} s {left}),
                live AS (SELECT t.ctid AS place, t.tableoid AS part, {is_filled_in} AS is_filled_in, {live} AS line,
                    row_number() OVER (PARTITION BY {live} ORDER BY {is_filled_in}, t.ctid) AS number FROM {} t)
            INSERT INTO pg_temp.unship_work
            SELECT s.place, NULL, NULL, left({rule}, 1), substr({rule}, 3), NULL
                FROM saved s LEFT JOIN (SELECT line, count(*) AS number FROM live GROUP BY line) t ON t.line = s.line
                WHERE s.number > coalesce(t.number, 0)
            UNION ALL SELECT NULL, t.place, t.part, 'r', NULL, NULL
                FROM live t LEFT JOIN (SELECT line, count(*) AS number FROM saved GROUP BY line) s ON s.line = t.line
                WHERE t.is_filled_in AND t.number > coalesce(s.number, 0)",
            self.kept.quoted()?,
            self.target.shape.from()?
        ))
    }

    /// Without a key rows that the down changed are told apart from the others by what became of all of them together:
    /// where nobody wrote the table since, and all that they became is there, that goes and what they were is put in.
    fn changed_without_key(&self, left: &str) -> Result<String, DatabaseFailure> {
        let untouched = if self.is_watched && left.is_empty() {
            format!("NOT {}", self.was_ever_written()?)
        } else {
            "false".to_owned()
        };
        let (saved, live) = (self.text("s", true)?, self.text("t", false)?);
        let (store, condition) =
            (self.kept.quoted()?, if left.is_empty() { "WHERE" } else { "WHERE s.unship_left AND" });
        Ok(format!(
            "WITH became AS (SELECT {saved} AS line, row_number() OVER (PARTITION BY {saved} ORDER BY s.ctid) AS number
                    FROM {store} s WHERE s.unship_op = 'n'),
                live AS (SELECT t.ctid AS place, t.tableoid AS part, {live} AS line,
                    row_number() OVER (PARTITION BY {live} ORDER BY t.tableoid, t.ctid) AS number FROM {from} t),
                there AS (SELECT l.place, l.part FROM became JOIN live l USING (line, number)),
                able AS (SELECT {untouched} AND (SELECT count(*) FROM became) = (SELECT count(*) FROM there)
                    AND NOT EXISTS (SELECT FROM {store} s WHERE s.unship_lacks IS NOT NULL) AS is_able)
            INSERT INTO pg_temp.unship_work
            SELECT NULL, place, part, 'r', NULL, NULL FROM there, able WHERE is_able
            UNION ALL SELECT s.ctid, NULL, NULL, CASE WHEN is_able OR s.unship_op = 'd' THEN 'i' ELSE 'c' END,
                CASE WHEN NOT is_able AND s.unship_op <> 'd' THEN {why} END, NULL
                FROM {store} s, able {condition} s.unship_op <> 'n'",
            from = self.target.shape.from()?,
            why = literal(NO_KEY)?,
        ))
    }

    /// The key for a person.
    fn key(&self) -> Result<String, DatabaseFailure> {
        if self.kept.layout.key.is_empty() {
            return Ok("NULL::text".to_owned());
        }
        let mut parts = Vec::new();
        for column in &self.kept.layout.key {
            parts.push(format!("format('%s=%s', {}, s.{})", literal(&column.name)?, column.quoted()?));
        }
        Ok(format!("concat_ws(', ', {})", parts.join(", ")))
    }
}

/// A conflict with its reason, as a constant.
fn conflict(why: &'static str) -> Result<String, DatabaseFailure> {
    Ok(literal(&format!("c:{why}"))?)
}
