"""The operations on patients."""

from starlette.responses import Response

from biospark_api.database.connection import Connection
from biospark_api.http.calls import Call, Operations, answer
from biospark_api.http.contract import SMALL, Contract
from biospark_api.http.idempotency import once
from biospark_api.http.paging import OffsetPage, cut, link_by_cursor
from biospark_api.http.preconditions import expected_versions, refuse_change, tagged, tagged_if_changed
from biospark_api.http.problems import ProblemError
from biospark_api.patients import erasure, queries
from biospark_api.patients.models import NewPatient, Patient, PatientChange, PatientSearch, PatientsFound
from biospark_api.security.permissions import Permission

patients = Operations("/api/v1/patients", "patients")

_LIST = Contract(
    "List patients",
    answer=list[Patient],
    query=OffsetPage,
    gives=("Link", "X-Total-Count"),
)
_CREATE = Contract(
    "Create a patient",
    answer=Patient,
    status=201,
    body=NewPatient,
    takes=("Idempotency-Key",),
    gives=("ETag", "Location"),
    problems=(409,),
)
_SEARCH = Contract("Search for patients", answer=PatientsFound, body=PatientSearch, largest=SMALL)
_GET = Contract("Get a patient", answer=Patient, takes=("If-None-Match",), gives=("ETag",), problems=(410,))
_REPLACE = Contract(
    "Replace a patient", answer=Patient, body=NewPatient, takes=("If-Match",), gives=("ETag",), problems=(409, 410)
)
_CHANGE = Contract(
    "Change a patient",
    answer=Patient,
    body=PatientChange,
    takes=("If-Match",),
    gives=("ETag",),
    problems=(409, 410),
    media_types=("application/merge-patch+json", "application/json"),
)
_ERASE = Contract("Erase a deleted patient", status=204, problems=(409,))
_DELETE = Contract("Delete a patient", status=204, takes=("If-Match",), problems=(410,))


@patients.add("GET", "", "patients.list", Permission.READ_PATIENTS, _LIST)
async def list_patients(call: Call) -> Response:
    """The newest first. Deep pages are fast by the cursor of the `Link` header, and slow by `offset`."""
    page = call.query(OffsetPage)
    if page.cursor and page.offset:
        raise ProblemError(422, "Give either offset or cursor.")
    pool = call.services.pool
    found = await queries.page(pool, {"limit": page.limit + 1, "offset": page.offset, **page.after()})
    rows, following = cut(found, page.limit, "created_at")
    headers = link_by_cursor(page, following)
    if page.count:
        headers["X-Total-Count"] = str(await queries.count(pool, exact=page.count == "exact"))
    return answer(call.showing(rows), headers=headers)


@patients.add("POST", "", "patients.create", Permission.WRITE_PATIENTS, _CREATE)
async def create_patient(call: Call) -> Response:
    """Send an `Idempotency-Key` to be able to send the request again when its answer was lost."""
    patient = await call.body(NewPatient)

    async def create(connection: Connection) -> Response:
        row = await queries.create(connection, patient.model_dump(), call.entry(201))
        call.patient = row["id"]
        return tagged(row, 201, {"Location": f"{call.path}/{row['id']}"})

    return await once(call, create)


@patients.add("POST", "/_search", "patients.search", Permission.READ_PATIENTS, _SEARCH)
async def search_patients(call: Call) -> Response:
    """By name, date of birth or e-mail address, the newest first."""
    wanted = await call.body(PatientSearch)
    filters = wanted.model_dump(exclude={"cursor", "limit"})
    if wanted.name is not None:
        escaped = wanted.name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        filters["name"] = f"{escaped}%"
    after = OffsetPage(cursor=wanted.cursor).after()
    found = await queries.search(call.services.pool, {**filters, **after, "limit": wanted.limit + 1})
    rows, following = cut(found, wanted.limit, "created_at")
    return answer({"items": call.showing(rows), "next_cursor": following})


@patients.add("GET", "/{patient_id}", "patients.get", Permission.READ_PATIENTS, _GET)
async def get_patient(call: Call) -> Response:
    """A deleted patient is 410."""
    call.target = call.id("patient_id")
    async with call.services.pool.connection() as connection:
        row = await queries.get(connection, call.target)
    return tagged_if_changed(call, row)


@patients.add("PUT", "/{patient_id}", "patients.replace", Permission.WRITE_PATIENTS, _REPLACE)
async def replace_patient(call: Call) -> Response:
    """What the body leaves out is removed. Send `If-Match`, so as not to overwrite what you have not seen."""
    return await _changed(call, await call.body(NewPatient), whole=True)


@patients.add("PATCH", "/{patient_id}", "patients.change", Permission.WRITE_PATIENTS, _CHANGE)
async def change_patient(call: Call) -> Response:
    """What the body leaves out stays (JSON merge patch)."""
    return await _changed(call, await call.body(PatientChange), whole=False)


@patients.add("DELETE", "/{patient_id}", "patients.delete", Permission.DELETE_PATIENTS, _DELETE)
async def delete_patient(call: Call) -> Response:
    """The patient is kept for the record, is found no more, and gives its e-mail address free."""
    call.target = call.id("patient_id")
    versions = expected_versions(call)
    async with call.services.pool.connection() as connection:
        if not await queries.delete(connection, call.target, versions, call.entry(204)):
            raise refuse_change(await queries.get(connection, call.target))
    return Response(status_code=204)


@patients.add("POST", "/{patient_id}/_erase", erasure.ACTION, Permission.ERASE_PATIENTS, _ERASE)
async def erase_patient(call: Call) -> Response:
    """Removes a deleted patient for good, with all health records and the answers that are kept to repeat them. What
    the audit log says stays; it has ids only. A patient who is not deleted is 409. Send it again if it was
    interrupted.
    """
    call.target = call.id("patient_id")
    await erasure.erase(call.services.pool, call.target, call.entry(204))
    return Response(status_code=204)


async def _changed(call: Call, change: NewPatient | PatientChange, *, whole: bool) -> Response:
    call.target = call.id("patient_id")
    values = change.model_dump(exclude_unset=not whole)
    versions = expected_versions(call)
    async with call.services.pool.connection() as connection:
        row = await queries.change(connection, call.target, values, versions, call.entry())
        if row is None:
            raise refuse_change(await queries.get(connection, call.target))
    return tagged(row)
