"""The operations on the health records of a patient."""

from collections.abc import Mapping, Sequence

from psycopg.rows import DictRow
from starlette.responses import Response

from biospark_api.database.connection import Connection, Row
from biospark_api.http.calls import Call, Operations, answer
from biospark_api.http.contract import SMALL, Contract
from biospark_api.http.idempotency import once
from biospark_api.http.paging import Page, cut, link_by_cursor
from biospark_api.http.preconditions import tagged, tagged_if_changed
from biospark_api.http.problems import ProblemError
from biospark_api.records import queries
from biospark_api.records.models import NewRecord, Record, RecordPage, RecordSearch, RecordsFound
from biospark_api.security.permissions import Permission

records = Operations("/api/v1/patients/{patient_id}/records", "health records")

_LIST = Contract("List health records", answer=list[Record], query=RecordPage, gives=("Link",), problems=(410,))
_SEARCH = Contract("Search health records", answer=RecordsFound, body=RecordSearch, largest=SMALL, problems=(410,))
_CREATE = Contract(
    "Create a health record",
    answer=Record,
    status=201,
    body=NewRecord,
    takes=("Idempotency-Key",),
    gives=("ETag", "Location"),
    problems=(410,),
)
_GET = Contract("Get a health record", answer=Record, takes=("If-None-Match",), gives=("ETag",), problems=(410,))


@records.add("GET", "", "records.list", Permission.READ_RECORDS, _LIST)
async def list_records(call: Call) -> Response:
    """Those recorded last come first."""
    page = call.query(RecordPage)
    filters = {"type": page.type, "since": page.since, "until": page.until, **page.after()}
    rows, following = await _page(call, filters, page.limit)
    return answer(call.showing(rows), headers=link_by_cursor(page, following))


@records.add("POST", "/_search", "records.search", Permission.READ_RECORDS, _SEARCH)
async def search_records(call: Call) -> Response:
    """By what their data contains."""
    wanted = await call.body(RecordSearch)
    filters = wanted.model_dump(exclude={"cursor", "limit"}) | Page(cursor=wanted.cursor).after()
    rows, following = await _page(call, filters, wanted.limit)
    return answer({"items": call.showing(rows), "next_cursor": following})


@records.add("POST", "", "records.create", Permission.WRITE_RECORDS, _CREATE)
async def create_record(call: Call) -> Response:
    """Records are not changed afterwards: a correction is another record."""
    call.patient = patient = call.id("patient_id")
    record = await call.body(NewRecord)

    async def create(connection: Connection) -> Response:
        row = await queries.create(connection, patient, record.model_dump(), call.entry(201))
        if row is None:
            raise await _no_patient(connection, patient)
        return tagged(row, 201, {"Location": f"{call.path}/{row['id']}"})

    return await once(call, create)


@records.add("GET", "/{record_id}", "records.get", Permission.READ_RECORDS, _GET)
async def get_record(call: Call) -> Response:
    """A record of another patient is 404."""
    patient, call.target = call.id("patient_id"), call.id("record_id")
    async with call.services.pool.connection() as connection:
        await _require_patient(connection, patient)
        row = await queries.get(connection, patient, call.target)
    return tagged_if_changed(call, row)


async def _page(call: Call, filters: Mapping[str, object], limit: int) -> tuple[Sequence[Row], str | None]:
    call.target = patient = call.id("patient_id")
    async with call.services.pool.connection() as connection:
        await _require_patient(connection, patient)
        size = {"limit": limit + 1, "page_bytes": call.services.settings.max_page_bytes}
        return cut(await queries.page(connection, patient, {**filters, **size}), limit, "recorded_at")


async def _require_patient(connection: Connection, patient: str) -> None:
    row = await queries.patient(connection, patient)
    if row is None or row["deleted"]:
        raise _refusal(row)


async def _no_patient(connection: Connection, patient: str) -> ProblemError:
    return _refusal(await queries.patient(connection, patient))


def _refusal(row: DictRow | None) -> ProblemError:
    return ProblemError(410, "The patient was deleted.") if row else ProblemError(404, "There is no such patient.")
