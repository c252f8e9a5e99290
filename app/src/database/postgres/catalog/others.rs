//! Everything else that PostgreSQL lets users create, so that no change goes unseen. These catalogs hold few
//! rows, so they are read whole every time.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::schema::{Address, Fact, Kind, Name, Object};

use super::decode::Columns;

/// Each branch gives: catalog, oid, kind, name, definition. Names come from PostgreSQL's own descriptions where
/// it has no shorter text.
const OTHERS: &str = "
SELECT 3079::oid, e.oid, 'extension', e.extname::text, concat_ws(' ', e.extversion, 'in', n.nspname)
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid >= 16384
UNION ALL SELECT 3466, t.oid, 'event trigger', t.evtname::text,
    concat_ws(' ', t.evtevent, t.evtfoid::regprocedure, t.evtenabled::text, array_to_string(t.evttags, ',')) FROM pg_event_trigger t
UNION ALL SELECT 826, a.oid, 'default privileges', concat_ws(' ', CASE WHEN a.defaclrole = current_user::regrole THEN 'of the owner'
    ELSE 'of ' || a.defaclrole::regrole::text END, 'in ' || nullif(a.defaclnamespace, 0)::regnamespace::text, 'for', a.defaclobjtype::text),
    (SELECT string_agg(concat_ws('=', CASE g.grantee WHEN 0 THEN 'PUBLIC' WHEN a.defaclrole THEN '(owner)'
        ELSE g.grantee::regrole::text END, g.privilege_type || CASE WHEN g.is_grantable THEN '*' ELSE '' END), ' ' ORDER BY 1)
     FROM aclexplode(a.defaclacl) g) FROM pg_default_acl a
UNION ALL SELECT 2605, c.oid, 'other', pg_describe_object(2605, c.oid, 0),
    concat_ws(' ', c.castfunc::regprocedure, c.castcontext::text, c.castmethod::text) FROM pg_cast c WHERE c.oid >= 16384
UNION ALL SELECT 2617, o.oid, 'other', pg_describe_object(2617, o.oid, 0), concat_ws(' ', o.oprcode, o.oprresult::regtype,
    o.oprcom::regoperator, o.oprnegate::regoperator, o.oprrest, o.oprjoin, o.oprcanmerge, o.oprcanhash) FROM pg_operator o WHERE o.oid >= 16384
UNION ALL SELECT 2616, o.oid, 'other', pg_describe_object(2616, o.oid, 0), concat_ws(' ', o.opcdefault, o.opckeytype::regtype)
FROM pg_opclass o WHERE o.oid >= 16384
UNION ALL SELECT 2753, o.oid, 'other', pg_describe_object(2753, o.oid, 0),
    concat_ws(' ', (SELECT string_agg(concat_ws(' ', amopstrategy, amopopr::regoperator), ',' ORDER BY amopstrategy, amopopr::regoperator::text)
        FROM pg_amop WHERE amopfamily = o.oid),
    (SELECT string_agg(concat_ws(' ', amprocnum, amproc), ',' ORDER BY amprocnum, amproc::text) FROM pg_amproc WHERE amprocfamily = o.oid))
FROM pg_opfamily o WHERE o.oid >= 16384
UNION ALL SELECT 3456, c.oid, 'other', pg_describe_object(3456, c.oid, 0),
    (to_jsonb(c) - '{oid,collname,collnamespace,collowner,collversion}'::text[])::text FROM pg_collation c WHERE c.oid >= 16384
UNION ALL SELECT 2607, c.oid, 'other', pg_describe_object(2607, c.oid, 0), concat_ws(' ', c.conproc, c.condefault)
FROM pg_conversion c WHERE c.oid >= 16384
UNION ALL SELECT 2612, l.oid, 'other', pg_describe_object(2612, l.oid, 0), concat_ws(' ', l.lanpltrusted, l.lanplcallfoid::regproc)
FROM pg_language l WHERE l.oid >= 16384
UNION ALL SELECT 3602, t.oid, 'other', pg_describe_object(3602, t.oid, 0),
    (SELECT string_agg(concat_ws(' ', maptokentype, mapseqno, mapdict::regdictionary), ',' ORDER BY maptokentype, mapseqno)
        FROM pg_ts_config_map WHERE mapcfg = t.oid) FROM pg_ts_config t WHERE t.oid >= 16384
UNION ALL SELECT 3600, t.oid, 'other', pg_describe_object(3600, t.oid, 0), t.dictinitoption FROM pg_ts_dict t WHERE t.oid >= 16384
UNION ALL SELECT 3601, t.oid, 'other', pg_describe_object(3601, t.oid, 0), concat_ws(' ', t.prsstart, t.prstoken) FROM pg_ts_parser t WHERE t.oid >= 16384
UNION ALL SELECT 3764, t.oid, 'other', pg_describe_object(3764, t.oid, 0), concat_ws(' ', t.tmplinit, t.tmpllexize) FROM pg_ts_template t WHERE t.oid >= 16384
UNION ALL SELECT 3381, s.oid, 'other', pg_describe_object(3381, s.oid, 0), pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext s WHERE s.oid >= 16384
UNION ALL SELECT 6104, p.oid, 'other', pg_describe_object(6104, p.oid, 0),
    concat_ws(' ', (to_jsonb(p) - '{oid,pubname,pubowner}'::text[])::text,
    (SELECT string_agg(prrelid::regclass::text, ',' ORDER BY prrelid::regclass::text) FROM pg_publication_rel WHERE prpubid = p.oid))
FROM pg_publication p
UNION ALL SELECT 2328, f.oid, 'other', pg_describe_object(2328, f.oid, 0), concat_ws(' ', f.fdwhandler::regproc, array_to_string(f.fdwoptions, ','))
FROM pg_foreign_data_wrapper f
UNION ALL SELECT 1417, s.oid, 'other', pg_describe_object(1417, s.oid, 0), concat_ws(' ', s.srvtype, s.srvversion, array_to_string(s.srvoptions, ','))
FROM pg_foreign_server s
UNION ALL SELECT 1418, u.umid, 'other', 'user mapping for ' || u.usename || ' on server ' || u.srvname, md5(array_to_string(u.umoptions, ','))
FROM pg_user_mappings u
UNION ALL SELECT 3576, t.oid, 'other', pg_describe_object(3576, t.oid, 0), concat_ws(' ', t.trffromsql, t.trftosql) FROM pg_transform t WHERE t.oid >= 16384
UNION ALL SELECT 2601, a.oid, 'other', pg_describe_object(2601, a.oid, 0), a.amhandler::text FROM pg_am a WHERE a.oid >= 16384";

/// Which of the oids above belong to an extension, and so are not the user's.
const OF_EXTENSION: &str =
    "SELECT classid, objid FROM pg_depend WHERE deptype = 'e' AND classid = ANY($1) AND objid = ANY($2)";

/// All objects of the small catalogs, and the extensions with their versions: when those change, objects change
/// hands and everything is read again.
pub(super) async fn read(conn: &mut PgConnection) -> Result<(Vec<Object>, Vec<String>), sqlx::Error> {
    let rows = sqlx::query(OTHERS).fetch_all(&mut *conn).await?;
    let mut objects = Vec::with_capacity(rows.len());
    let mut extensions = Vec::new();
    for row in &rows {
        let mut columns = Columns::of(row);
        let address = Address { class: columns.oid()?, oid: columns.oid()?, sub: 0 };
        let kind = match columns.text()?.as_str() {
            "extension" => Kind::Extension,
            "event trigger" => Kind::EventTrigger,
            "default privileges" => Kind::DefaultPrivileges,
            _ => Kind::Other,
        };
        let (name, definition) = (columns.text()?, columns.text()?);
        let fact = if kind == Kind::Extension { Fact::Version } else { Fact::Definition };
        if kind == Kind::Extension {
            extensions.push(format!("{name} {definition}"));
        }
        objects.push(Object::new(kind, Name::global(name), address).with(fact, definition));
    }
    if objects.len() > extensions.len() && !extensions.is_empty() {
        let classes: Vec<Oid> = objects.iter().map(|object| Oid(object.address.class)).collect();
        let oids: Vec<Oid> = objects.iter().map(|object| Oid(object.address.oid)).collect();
        let theirs: Vec<(Oid, Oid)> =
            sqlx::query_as(OF_EXTENSION).bind(classes).bind(oids).fetch_all(&mut *conn).await?;
        objects.retain(|object| {
            !theirs.iter().any(|(class, oid)| class.0 == object.address.class && oid.0 == object.address.oid)
        });
    }
    extensions.sort();
    Ok((objects, extensions))
}
