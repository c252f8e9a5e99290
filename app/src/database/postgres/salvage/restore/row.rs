//! Carries verdicts out: all at once, and row by row where a constraint refuses one of them.

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::sql::quote::literal;

use super::table::{Target, value};
use super::verdict::NO_KEY;
use crate::database::postgres::live::failure::said;
use crate::database::postgres::salvage::layout::{Form, Kept};
use crate::database::postgres::salvage::{failed, run, scalar};
use crate::ports::DatabaseFailure;

/// Puts in and sets what was judged so. What a constraint refuses becomes a conflict. The number of rows.
pub(super) async fn apply(
    conn: &mut PgConnection,
    kept: &Kept,
    target: &Target,
) -> Result<u64, DatabaseFailure> {
    let what = format!("restoring {}", kept.layout.table);
    let sentences = [set(kept, target)?, put_in(kept, target)?];
    run(conn, &what, "SAVEPOINT unship_apply".to_owned()).await?;
    remove(conn, target, &what).await?;
    let mut done = 0;
    let mut refusal = None;
    for sentence in sentences.iter().flatten() {
        match sqlx::raw_sql(AssertSqlSafe(sentence.clone())).execute(&mut *conn).await {
            Ok(ended) => done += ended.rows_affected(),
            Err(error) => {
                refusal = Some(error);
                break;
            }
        }
    }
    match refusal {
        None => {}
        // Class 23: a constraint.
        Some(error) if said(&error).is_some_and(|said| said.code().starts_with("23")) => {
            run(conn, &what, "ROLLBACK TO SAVEPOINT unship_apply".to_owned()).await?;
            keep(conn, kept, &what).await?;
            done = one_by_one(conn, kept, target, &what).await?;
        }
        Some(error) => return Err(failed(what, &error)),
    }
    run(conn, &what, "RELEASE SAVEPOINT unship_apply".to_owned()).await?;
    Ok(done)
}

/// Takes away what rows without a key became.
async fn remove(conn: &mut PgConnection, target: &Target, what: &str) -> Result<(), DatabaseFailure> {
    let sql = format!(
        "DELETE FROM {} t USING pg_temp.unship_work w WHERE w.verdict = 'r' AND t.ctid = w.live AND t.tableoid = w.part",
        target.shape.from()?
    );
    run(conn, what, sql).await.map(drop)
}

/// Where not all of them can be put in, all stay as they are.
async fn keep(conn: &mut PgConnection, kept: &Kept, what: &str) -> Result<(), DatabaseFailure> {
    if kept.layout.form != Form::Changed || !kept.layout.key.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE pg_temp.unship_work w SET verdict = 'c', why = {} FROM {} s WHERE s.ctid = w.place AND s.unship_op = 'u'
            AND EXISTS (SELECT FROM pg_temp.unship_work r WHERE r.verdict = 'r');
        DELETE FROM pg_temp.unship_work WHERE verdict = 'r'",
        literal(NO_KEY)?,
        kept.quoted()?
    );
    run(conn, what, sql).await.map(drop)
}

/// Sets what is kept in the rows that are there.
fn set(kept: &Kept, target: &Target) -> Result<Option<String>, DatabaseFailure> {
    let mut sets = Vec::new();
    for both in target.written(kept) {
        let (name, value) = (both.1.quoted()?, value("s", both)?);
        sets.push(match kept.layout.form {
            // What was gone already when the row was kept is in the store of its column.
            Form::Changed => {
                format!(
                    "{name} = CASE WHEN s.unship_lacks @> ARRAY[{}::smallint] THEN t.{name} ELSE {value} END",
                    both.0.num
                )
            }
            Form::Aside | Form::Copied | Form::CopiedWhole => format!("{name} = {value}"),
        });
    }
    if sets.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "UPDATE {} t SET {} FROM {} s, pg_temp.unship_work w
        WHERE w.verdict = 'u' AND s.ctid = w.place AND t.ctid = w.live AND t.tableoid = w.part",
        target.shape.from()?,
        sets.join(", "),
        kept.quoted()?
    )))
}

/// Puts in the rows that are not there.
fn put_in(kept: &Kept, target: &Target) -> Result<Option<String>, DatabaseFailure> {
    if !matches!(
        kept.kind,
        unship_core::down::LossKind::Table { .. } | unship_core::down::LossKind::Rows { .. }
    ) {
        return Ok(None);
    }
    let names: Vec<String> =
        target.columns.iter().map(|(_, live)| Ok(live.quoted()?)).collect::<Result<_, DatabaseFailure>>()?;
    let values: Vec<String> = target.columns.iter().map(|both| value("s", both)).collect::<Result<_, _>>()?;
    Ok(Some(format!(
        "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {} s JOIN pg_temp.unship_work w ON w.place = s.ctid
        WHERE w.verdict = 'i'",
        target.shape.quoted()?,
        names.join(", "),
        values.join(", "),
        kept.quoted()?
    )))
}

/// Each row by itself, again as long as that brings one more in: a row may have to wait for another of its table.
async fn one_by_one(
    conn: &mut PgConnection,
    kept: &Kept,
    target: &Target,
    what: &str,
) -> Result<u64, DatabaseFailure> {
    let mut tries = String::new();
    for (verdict, sentence) in [('u', set(kept, target)?), ('i', put_in(kept, target)?)] {
        if let Some(sentence) = sentence {
            tries.push_str(&format!(
                "IF r.verdict = '{verdict}' THEN {sentence} AND w.place = r.place; END IF;\n"
            ));
        }
    }
    let body = format!(
        "DECLARE r record; came boolean;
        BEGIN
            LOOP
                came := false;
                FOR r IN SELECT w.place, w.verdict FROM pg_temp.unship_work w WHERE w.verdict IN ('u', 'i') LOOP
                    BEGIN
                        {tries}
                        UPDATE pg_temp.unship_work w SET verdict = 'x' WHERE w.place = r.place;
                        came := true;
                    EXCEPTION WHEN integrity_constraint_violation THEN
                        UPDATE pg_temp.unship_work w SET why = SQLERRM WHERE w.place = r.place;
                    END;
                END LOOP;
                EXIT WHEN NOT came;
            END LOOP;
            UPDATE pg_temp.unship_work w SET verdict = 'c' WHERE w.verdict IN ('u', 'i');
        END"
    );
    run(conn, what, "CREATE INDEX ON pg_temp.unship_work (place)".to_owned()).await?;
    run(conn, what, format!("DO {}", literal(&body)?)).await?;
    let done: i64 =
        scalar(conn, what, "SELECT count(*) FROM pg_temp.unship_work WHERE verdict = 'x'").await?;
    Ok(u64::try_from(done).unwrap_or_default())
}
