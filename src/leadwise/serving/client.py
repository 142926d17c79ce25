"""A client of the scoring server: arrays in, answers out; with base64, batches, time-outs and retries.

from leadwise.serving import Client

with Client("http://127.0.0.1:5001") as client:
    (answer,) = client.score([{"signal": signal_mv, "fs_hz": 500, "age": 71}])
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ReadTimeoutError
from urllib3.util import Retry

from leadwise.contract import ECGRecord, LeadwiseError
from leadwise.ecg.record import Recording, RecordingError
from leadwise.serving.request import DTYPES, NO_NUMBER, Answer, absent, described, record_id_of, refused
from leadwise.serving.request_parsing import LARGEST_BODY, MOST_EXPLAINED, MOST_RECORDS


def request_row(record: Any) -> dict[str, Any]:
    """One row of a request, ready for JSON; fields that are ``None`` or NaN are left out.

    Args:
        record: fields by name as ``docs/serving.md`` lists them, of which ``signal`` may be a ``(time, lead)`` or
            ``(lead, time)`` array; or an ``ECGRecord``, a ``Recording``, or what ``leadwise.ecg.formats`` returns.
            An int16 array is sent as it is, with ``units_per_count`` (1 if not given); any other as float32.

    Raises:
        RecordingError: it is none of these, the array is none of two dimensions with numbers, or a question about a
            file is open.
    """
    row = _fields(record)
    if isinstance(signal := row.get("signal"), np.ndarray):
        row |= _packed(signal, row)
    return {name: _plain(value) for name, value in row.items() if not absent(value)}


def _fields(record: Any) -> dict[str, Any]:
    if isinstance(record, Mapping):
        return dict(record)
    if isinstance(record, Recording):
        noticed = dict(record.noticed) | ({"ends_cut": ()} if any(record.ends_cut) else {})
        return _fields(record.record) | {"noticed": noticed or None}
    if isinstance(record, ECGRecord):
        row = {"id": record.record_id or None, "signal": record.signal_mv, "fs_hz": record.fs_hz}
        return row | {"units": "mV", "order": "time_lead"} | dict(record.patient)
    if hasattr(record, "array_row"):
        for question in record.questions:
            raise RecordingError(question.field, question.text, "missing_field")
        return {"id": record.file} | record.array_row()
    raise RecordingError("record", f"received {described(record)}; fields by name are needed", "wrong_type")


def _packed(signal: np.ndarray, row: Mapping[str, Any]) -> dict[str, Any]:
    if signal.ndim != 2:
        problem = f"received {signal.ndim} dimensions; 2 are needed: samples and leads"
        raise RecordingError("signal", problem, "wrong_shape")
    if signal.dtype.kind not in "fiu":
        raise RecordingError("signal", NO_NUMBER, "wrong_type")
    dtype = "int16" if signal.dtype == np.int16 else "float32"
    # What is too large for single precision becomes infinite, and is refused where it arrives.
    with np.errstate(over="ignore"):
        data = np.ascontiguousarray(signal, dtype=DTYPES[dtype]).tobytes()
    packed = {"signal": base64.b64encode(data).decode("ascii"), "shape": list(signal.shape), "dtype": dtype}
    return packed | ({"units_per_count": row.get("units_per_count", 1)} if dtype == "int16" else {})


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
            row = _as_json(record)
        except RecordingError as error:
            answers[position] = refused(error, position, record_id_of(record))
            continue
        if batch and (len(batch) == most or size + len(row) > LARGEST_ROW):
            yield batch
            batch, size = [], 0
        batch.append((position, row))
        size += len(row) + 2
    if batch:
        yield batch


def _as_json(record: Any) -> bytes:
    try:
        # Numbers that JSON does not know are the server's to refuse.
        row = json.dumps(request_row(record)).encode()
    except (TypeError, ValueError):
        raise RecordingError("record", "a field holds what JSON does not know", "wrong_type") from None
    if len(row) > LARGEST_ROW:
        allowed = f"{LARGEST_BODY // 2**20} MiB at most can be sent; an int16 array takes half as much"
        raise RecordingError("signal", f"is {len(row) / 2**20:.1f} MiB as text; {allowed}", "too_large")
    return row


def at_its_place(answer: Answer, position: int) -> Answer:
    """An error tells the record's place among all, not in its request."""
    error = answer.get("error")
    if not isinstance(error, dict):
        return answer
    message = re.sub(r"^row \d+:", f"row {position}:", str(error.get("message")))
    return answer | {"error": error | {"row": position, "message": message}}


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
        # Scoring changes nothing, so a POST may be sent again.
        again = _PatientRetry(
            total=retries, status_forcelist=RETRIED, allowed_methods={"POST"}, raise_on_status=False, redirect=False,
            backoff_factor=BACK_OFF_S, backoff_max=LONGEST_WAIT_S, retry_after_max=LONGEST_WAIT_S,
        )  # fmt: skip
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=again))

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
            records: recordings as ``request_row`` takes them: fields by name with the signal as an array,
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
            try:
                response = self._sent(body)
            except requests.exceptions.ChunkedEncodingError:
                # Broken off in the middle of the answer, where urllib3 no longer tries again.
                response = self._sent(body)
        except requests.RequestException as error:
            if isinstance(error, requests.ReadTimeout) or _bottom(error) == "ReadTimeoutError":
                raise ServerTimeout(f"{self.url}: nothing came for {self.timeout_s:g} s") from None
            raise ServerUnreachable(f"{self.url}: no connection ({_bottom(error)})") from None
        try:
            content = response.json()
        except ValueError:
            content = {}
        content = content if isinstance(content, dict) else {}
        answers = content.get("predictions") if response.status_code in (200, 400) else None
        if isinstance(answers, list) and [isinstance(answer, dict) for answer in answers] == [True] * len(rows):
            return answers
        raise self._refused(response.status_code, content)

    def _sent(self, body: bytes) -> requests.Response:
        # A redirection would send a patient's recording to someone whom nobody named.
        kind = {"Content-Type": "application/json"}
        return self._session.post(self.url, data=body, headers=kind, timeout=self.timeout_s, allow_redirects=False)

    def _refused(self, status: int, content: dict[str, Any]) -> ClientError:
        message = str(content.get("message") or "says nothing that Leadwise would say")[:400]
        if status in RETRIED:
            return ServerUnreachable(f"{self.url}: status {status} after every retry")
        message = f"{self.url}: status {status}: {message}"
        if 400 <= status < 500:
            told = content["error"] if isinstance(content.get("error"), dict) else {}
            return RequestRefused(message, status, str(told.get("code", "")), str(told.get("field", "")))
        return ServerFailed(message)


class _PatientRetry(Retry):
    """Retries all but what was too slow: sending it again would only add to the server's work."""

    def increment(self, method: str | None = None, url: str | None = None, *args: Any, **named: Any) -> Self:
        error = named.get("error") or (args[1] if len(args) > 1 else None)
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, *args, **named)


def _bottom(error: BaseException) -> str:
    """The kind of the innermost error, without the addresses and the objects around it."""
    inner = getattr(error, "reason", None)
    below = [value for value in (inner, *error.args) if isinstance(value, BaseException)]
    return _bottom(below[-1]) if below else type(error).__name__
