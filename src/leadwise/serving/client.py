"""A client of the scoring server: arrays in, answers out; with base64, batches, time-outs and retries.

from leadwise.serving import Client

with Client("http://127.0.0.1:5001") as client:
    (answer,) = client.score([{"signal": signal_mv, "fs_hz": 500, "age": 71}])
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from leadwise.contract import ECGRecord, LeadwiseError
from leadwise.ecg.record import Recording
from leadwise.serving.request import Answer, PayloadError, RecordId, absent, record_id_of
from leadwise.serving.values import LARGEST_BODY, MOST_EXPLAINED, MOST_RECORDS, described


def request_row(record: Any, position: int = 0) -> dict[str, Any]:
    """One row of a request, ready for JSON; fields that are ``None`` or NaN are left out.

    Args:
        record: fields by name as ``docs/serving.md`` lists them, of which ``signal`` may be a ``(time, lead)`` or
            ``(lead, time)`` array; or an ``ECGRecord``, a ``Recording``, or what ``leadwise.ecg.formats`` returns.
            An int16 array is sent as it is, with ``units_per_count`` (1 if not given); any other as float32.
        position: its place among the records, counted from 0.

    Raises:
        PayloadError: it is none of these, the array is none of two dimensions with numbers, or a question about a file
            is open.
    """
    row = _fields(record, position)
    signal = row.get("signal")
    if isinstance(signal, np.ndarray):
        row |= _packed(signal, row, position)
    return {name: _plain(value) for name, value in row.items() if not absent(value)}


def _fields(record: Any, position: int) -> dict[str, Any]:
    if isinstance(record, Mapping):
        return dict(record)
    if isinstance(record, Recording):
        noticed = dict(record.noticed) | ({"ends_cut": ()} if any(record.ends_cut) else {})
        return _fields(record.record, position) | {"noticed": noticed or None}
    if isinstance(record, ECGRecord):
        row = {"id": record.record_id or None, "signal": record.signal_mv, "fs_hz": record.fs_hz}
        return row | {"units": "mV", "order": "time_lead"} | dict(record.patient)
    if hasattr(record, "array_row"):
        if record.questions:
            question = record.questions[0]
            raise PayloadError(position, question.field, question.text, "missing_field")
        row = record.array_row()
        return {"id": record.file} | row
    raise PayloadError(position, "record", f"received {described(record)}; fields by name are needed", "wrong_type")


def _packed(signal: np.ndarray, row: Mapping[str, Any], position: int) -> dict[str, Any]:
    if signal.ndim != 2:
        problem = f"received {signal.ndim} dimensions; 2 are needed: samples and leads"
        raise PayloadError(position, "signal", problem, "wrong_shape")
    if signal.dtype.kind not in "fiu":
        problem = "received something that is not a number, such as text or true"
        raise PayloadError(position, "signal", problem, "wrong_type")
    counts = signal.dtype == np.int16
    # What is too large for single precision becomes infinite, and is refused where it arrives.
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(signal, dtype="<i2" if counts else "<f4").tobytes()
    packed = {"signal": base64.b64encode(data).decode("ascii"), "shape": list(signal.shape)}
    if counts:
        return packed | {"dtype": "int16", "units_per_count": row.get("units_per_count", 1)}
    return packed | {"dtype": "float32"}


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as JSON knows them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


LARGEST_ROW = LARGEST_BODY - 2**16
"""Bytes of the rows of a request; the rest is for what stands around them."""


def batches(records: Iterable[Any], most: int, answers: list[Answer]) -> Iterator[list[tuple[int, bytes]]]:
    """Rows as JSON with their positions, as many at a time as one request may hold.

    ``answers`` grows by one entry per record; what cannot be sent has its error there.
    """
    batch: list[tuple[int, bytes]] = []
    size = 0
    for position, record in enumerate(records):
        answers.append({})
        try:
            # Numbers that JSON does not know are the server's to refuse.
            row = json.dumps(request_row(record, position)).encode()
        except PayloadError as error:
            answers[position] = error.answer(record_id_of(record))
            continue
        except (TypeError, ValueError):
            problem = PayloadError(position, "record", "a field holds what JSON does not know", "wrong_type")
            answers[position] = problem.answer(record_id_of(record))
            continue
        if len(row) > LARGEST_ROW:
            answers[position] = _too_large(record_id_of(record), position, len(row))
            continue
        if batch and (len(batch) == most or size + len(row) > LARGEST_ROW):
            yield batch
            batch, size = [], 0
        batch.append((position, row))
        size += len(row) + 2
    if batch:
        yield batch


def _too_large(record_id: RecordId | None, position: int, size: int) -> Answer:
    allowed = f"{LARGEST_BODY // 2**20} MiB at most can be sent; an int16 array takes half as much"
    message = f"row {position}: signal: is {size / 2**20:.1f} MiB as text; {allowed}"
    return {
        "id": record_id,
        "error": {"code": "too_large", "field": "signal", "message": message, "row": position},
    }


def at_its_place(answer: Answer, position: int) -> Answer:
    """An error tells the record's place among all, not in its request."""
    error = answer.get("error")
    if not isinstance(error, dict):
        return answer
    old, message = error.get("row"), str(error.get("message"))
    renamed = message.replace(f"row {old}:", f"row {position}:", 1) if message.startswith(f"row {old}:") else message
    return answer | {"error": error | {"row": position, "message": renamed}}


class ClientError(LeadwiseError):
    """The server gave no answers."""


class ServerUnreachable(ClientError):
    """No server answers at the address, or it answered 502, 503 or 504 until the retries were used up."""


class ServerTimeout(ClientError):
    """The server sent nothing for longer than ``timeout_s``. Not tried again: it may still be at work on it."""


class RequestRefused(ClientError):
    """The server refused the request as a whole, such as for an unknown policy.

    Attributes:
        status: of HTTP, 400 to 499.
        code: as ``docs/serving.md`` lists them; empty where the answer is not Leadwise's.
        field: the part of the request that is wrong.
    """

    def __init__(self, message: str, status: int, code: str, field: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


class ServerFailed(ClientError):
    """The server has a defect, or what answers is no scoring server of Leadwise."""


TIMEOUT_S = 60.0
RETRIES = 3
BATCH = 64
BACK_OFF_S = 0.2
"""Before the second retry; each one waits twice as long, up to ``LONGEST_WAIT_S``."""
LONGEST_WAIT_S = 10
RETRIED = (502, 503, 504)
"""What a proxy or a server that starts, stops or is busy answers."""


class Client:
    """Asks one scoring server; a context manager that closes its connections.

    Args:
        url: of the server, with or without ``/invocations``.
        timeout_s: seconds to wait for a connection, and for the server to send something.
        retries: how often a request is sent again after a connection that failed or broke, or a 502, 503 or 504.
        batch: most records of one request, up to 1,024; fewer are sent at a time where the body would pass 64 MiB, and
            8 with explanations. A record that passes it alone is not sent.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S, retries: int = RETRIES, batch: int = BATCH) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url: received {url[:60]!r}; http:// or https:// is needed")
        if not (timeout_s > 0 and retries >= 0 and 1 <= batch <= MOST_RECORDS):
            raise ValueError(
                f"received timeout_s {timeout_s:g}, retries {retries}, batch {batch}; allowed: above 0, 0 or more, "
                f"1 to {MOST_RECORDS}"
            )
        base = url.rstrip("/")
        self.url = base if base.endswith("/invocations") else f"{base}/invocations"
        self.timeout_s = timeout_s
        self.batch = batch
        self._session = requests.Session()
        adapter = HTTPAdapter(max_retries=_retries(retries))
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def score(
        self,
        records: Iterable[Any],
        policy: str | None = None,
        explain: str | bool | Sequence[str] | None = None,
        all_findings: bool = False,
    ) -> list[Answer]:
        """One answer per record, in order; one that cannot be answered has an ``error`` in its place.

        Args:
            records: recordings as ``request_rows.request_row`` takes them: fields by name with the signal as an array,
                ``ECGRecord``, or what ``leadwise.ecg.formats.read_ecg`` returns. Read as they are sent.
            policy: which thresholds answer; ``None``: the one that the model was registered with.
            explain: a class, classes, or ``True`` for all of them.
            all_findings: list every trusted statement, also those below their threshold.

        Raises:
            RequestRefused: the server refused a whole request; sent once.
            ServerTimeout: it was silent for too long.
            ServerUnreachable: it cannot be reached, or was not ready after all retries.
            ServerFailed: it has a defect, or is no scoring server of Leadwise.
        """
        params: dict[str, Any] = {} if policy is None else {"policy": policy}
        if explain is not None:
            params["explain"] = explain if isinstance(explain, str | bool) else list(explain)
        if all_findings:
            params["all_findings"] = True
        most = min(self.batch, MOST_EXPLAINED) if explain else self.batch
        answers: list[Answer] = []
        for batch in batches(records, most, answers):
            predictions = self._ask([row for _, row in batch], params)
            for (position, _), answer in zip(batch, predictions, strict=True):
                answers[position] = at_its_place(answer, position)
        return answers

    def _ask(self, rows: list[bytes], params: dict[str, Any]) -> list[Answer]:
        """The answers to one request, errors among them."""
        body = b'{"inputs": [' + b", ".join(rows) + b'], "params": ' + json.dumps(params).encode() + b"}"
        try:
            response = self._sent(body)
        except requests.RequestException as error:
            if isinstance(error, requests.ReadTimeout) or _bottom(error) == "ReadTimeoutError":
                raise ServerTimeout(f"{self.url}: nothing came for {self.timeout_s:g} s") from None
            raise ServerUnreachable(f"{self.url}: no connection ({_bottom(error)})") from None
        content = _content(response)
        predictions = content.get("predictions")
        whole = (
            isinstance(predictions, list)
            and len(predictions) == len(rows)
            and all(isinstance(answer, dict) for answer in predictions)
        )
        if whole and response.status_code in (200, 400):
            return list(predictions or [])
        raise self._refused(response.status_code, content)

    def _sent(self, body: bytes, *, again: bool = True) -> requests.Response:
        """What came back."""
        try:
            # A redirection would send a patient's recording to someone whom nobody named.
            return self._session.post(
                self.url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=self.timeout_s,
                allow_redirects=False,
            )
        except requests.exceptions.ChunkedEncodingError:
            # Broken off in the middle of the answer, where urllib3 no longer tries again.
            if not again:
                raise
            return self._sent(body, again=False)

    def _refused(self, status: int, content: dict[str, Any]) -> ClientError:
        message = str(content.get("message") or "says nothing that Leadwise would say")[:400]
        if status in RETRIED:
            return ServerUnreachable(f"{self.url}: status {status} after every retry")
        if 400 <= status < 500:
            told = content["error"] if isinstance(content.get("error"), dict) else {}
            return RequestRefused(
                f"{self.url}: status {status}: {message}", status, str(told.get("code", "")), str(told.get("field", ""))
            )
        return ServerFailed(f"{self.url}: status {status}: {message}")


class _PatientRetry(Retry):
    """Retries all but what was too slow: sending it again would only add to the server's work."""

    def increment(self, method: str | None = None, url: str | None = None, *args: Any, **named: Any) -> Self:
        error = named.get("error") or (args[1] if len(args) > 1 else None)
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, *args, **named)


def _retries(count: int) -> Retry:
    """Scoring changes nothing, so a POST may be sent again."""
    return _PatientRetry(
        total=count,
        status_forcelist=RETRIED,
        allowed_methods={"POST"},
        backoff_factor=BACK_OFF_S,
        backoff_max=LONGEST_WAIT_S,
        retry_after_max=LONGEST_WAIT_S,
        raise_on_status=False,
        redirect=False,
    )


def _content(response: requests.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _bottom(error: BaseException) -> str:
    """The kind of the innermost error, without the addresses and the objects around it."""
    inner = getattr(error, "reason", None)
    below = [value for value in (inner, *error.args) if isinstance(value, BaseException)]
    return _bottom(below[-1]) if below else type(error).__name__
