"""Names are found whatever their case, however their accents are composed, and whatever the locale of the server.

`lower` follows the locale, and leaves everything but ASCII as it is where that is C. Which folding does not depend on
it is up to the server: from 17 on PostgreSQL brings one of its own, before that ICU has one in nearly every build.
Only an index is made: names stay as they were written, and what the release before writes is found as well.
"""

from alembic.runtime.migration import MigrationContext

from biospark_api.schema.migrations import steps
from biospark_api.schema.migrations.steps import OnlineIndex, Script

revision = "0007"
down_revision = "0006"

# Its parts are qualified and its literals are ASCII: it also runs without a search path, and in every encoding.
_FOLDING = r"""
DO $do$
DECLARE
    composed text := 'name';
    folded text;
BEGIN
    IF pg_catalog.getdatabaseencoding() = 'UTF8' THEN
        composed := $x$pg_catalog.btrim(pg_catalog."normalize"(name, 'NFC'),
            U&' \00A0\1680\2000\2001\2002\2003\2004\2005\2006\2007\2008\2009\200A\2028\2029\202F\205F\3000')$x$;
    END IF;
    folded := 'pg_catalog.lower(' || composed || coalesce((
        SELECT ' COLLATE pg_catalog.' || pg_catalog.quote_ident(collname) FROM pg_catalog.pg_collation
        WHERE collname IN ('pg_c_utf8', 'und-x-icu') AND collnamespace = 'pg_catalog'::regnamespace
          AND collencoding IN (-1, pg_catalog.pg_char_to_encoding(pg_catalog.getdatabaseencoding()))
        ORDER BY collname LIMIT 1), '') || ')';
    IF pg_catalog.getdatabaseencoding() = 'UTF8' THEN
        folded := 'pg_catalog.replace(pg_catalog.replace(' || folded
            || $x$, U&'\00DF', 'ss'), U&'\03C2', U&'\03C3')$x$;
    END IF;
    EXECUTE 'CREATE FUNCTION public.folded_name(name text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS '
        || pg_catalog.quote_literal('SELECT ' || folded);
END $do$;
GRANT EXECUTE ON FUNCTION public.folded_name(text) TO PUBLIC;
"""

STEPS = (
    # The DO statement creates a function.
    Script(_FOLDING, keeps_data=True),
    OnlineIndex("idx_patients_last_name_folded", "ON patients (folded_name(last_name) text_pattern_ops)"),
    OnlineIndex("idx_patients_first_name_folded", "ON patients (folded_name(first_name) text_pattern_ops)"),
)


def upgrade(*, context: MigrationContext) -> None:
    """Make the function and the indexes."""
    steps.run(STEPS, context)
