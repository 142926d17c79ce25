"""The client against a server that misbehaves: what is tried again, what is not, and what the caller is told."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from answering_server import Handler, Misbehaviour, Server, answer
from free_port import free_port
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from leadwise.contract import ECGRecord
from leadwise.ecg.formats import read_ecg
from leadwise.serving import Client
from leadwise.serving.client import RequestRefused, ServerFailed, ServerTimeout, ServerUnreachable, request_row
from leadwise.serving.request import read_samples
from leadwise.serving.scorer import Scorer


def busy(handler: Handler) -> None:
    answer(handler, 503, {"message": "starting"})


def hang_up(handler: Handler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def break_off(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"predictions": [')
    hang_up(handler)


def stall(handler: Handler) -> None:
    time.sleep(1.5)
    handler.close_connection = True


@pytest.fixture
def client(answering: Server) -> Iterator[Client]:
    with Client(answering.url, timeout_s=30, retries=2, batch=4) as found:
        yield found


def test_arrays_are_answered_as_the_scorer_answers_them(
    client: Client, answering: Server, scorer: Scorer, ecg_mv: np.ndarray
) -> None:
    row = {"id": "a", "signal": ecg_mv, "fs_hz": 100, "age": 63, "height_cm": np.nan, "weight_kg": None}
    counts = {**row, "signal": np.round(ecg_mv * 1000).astype(np.int16), "units": "uV"}
    record = ECGRecord(ecg_mv.astype(np.float32), 100.0, {"age": 63, "sex": None}, "a")
    by_lead = row | {"signal": np.asfortranarray(ecg_mv).T, "order": "lead_time"}
    (expected,) = scorer.score([row | {"signal": ecg_mv.tolist()}])
    assert expected["probabilities"]
    for answered in client.score([row, counts, record, by_lead]):
        for name, value in expected["probabilities"].items():
            assert answered["probabilities"][name] == pytest.approx(value, abs=1e-5)
        assert answered["id"] == "a"
    assert answering.sizes == [4]


def test_what_a_reader_returns_can_be_sent(client: Client, scorer: Scorer, ecg_mv: np.ndarray) -> None:
    lines = ["# Age: 63", "# fs: 100", "# units: mV", "I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6"]
    lines += [",".join(f"{value:.3f}" for value in sample) for sample in ecg_mv]
    text = "\n".join(lines).encode()
    read = read_ecg(text, name="walk-in.csv")
    asked = read_ecg(text.replace(b"# fs: 100\n", b""), name="no-rate.csv")
    answered, refused = client.score([read, asked])
    (expected,) = scorer.score([read.array_row()])
    assert answered["probabilities"] == expected["probabilities"]
    assert answered["id"] == "walk-in.csv"
    assert (refused["error"]["code"], refused["error"]["field"]) == ("missing_field", "fs_hz")


def test_many_records_are_sent_in_batches_and_errors_come_back_in_place(
    client: Client, answering: Server, ecg_mv: np.ndarray
) -> None:
    good = {"signal": ecg_mv, "fs_hz": 100}
    bad = {"signal": ecg_mv, "fs_hz": 5000, "id": "bad"}
    records: list[Any] = [good, bad, 7, good, {"signal": ecg_mv[:, 0], "fs_hz": 100}, good, *([bad] * 4), good]
    answers = client.score(iter(records))
    assert ["error" in one for one in answers] == [False, True, True, False, True, False, True, True, True, True, False]
    assert answers[6]["error"]["message"].startswith("row 6: fs_hz: received 5000")
    assert answers[6]["error"]["row"] == 6
    assert answers[6]["id"] == "bad"
    assert answers[2]["error"]["message"].startswith("row 2: record: received 7")
    assert answers[4]["error"]["code"] == "wrong_shape"
    assert answering.sizes == [4, 4, 1]


def test_a_record_that_no_request_can_hold_spoils_only_itself(client: Client, answering: Server) -> None:
    # 10 min at 2,000 Hz are allowed; as float32 they are 77 MB of text.
    large = {"id": "large", "signal": np.zeros((1_200_000, 12), dtype=np.float32), "fs_hz": 2000}
    refused, answered = client.score([large, {"age": 50}])
    assert (refused["id"], refused["error"]["code"], refused["error"]["row"]) == ("large", "too_large", 0)
    assert "64 MiB at most can be sent" in refused["error"]["message"]
    assert answered["model"] == "metadata"
    assert answering.sizes == [1]


def test_policy_explanations_and_findings_are_passed_on(client: Client, answering: Server, ecg_mv: np.ndarray) -> None:
    record = {"signal": ecg_mv, "fs_hz": 100}
    (answered,) = client.score([record], policy="youden", explain=["MI"], all_findings=True)
    assert answered["policy"] == "youden"
    assert list(answered["explanations"]) == ["MI"]
    assert len(answered["findings"]) == 4
    with Client(answering.url, batch=64) as large:
        large.score([record] * 9, explain="MI")
    assert answering.sizes[1:] == [8, 1]


@pytest.mark.parametrize("trouble", [busy, hang_up, break_off])
def test_trouble_that_passes_is_not_noticed(client: Client, answering: Server, trouble: Misbehaviour) -> None:
    times = 1 if trouble is break_off else 2
    answering.misbehaves = [trouble] * times
    started = time.monotonic()
    (answered,) = client.score([{"age": 50}])
    assert answered["model"] == "metadata"
    assert len(answering.sizes) == times + 1
    assert times == 1 or time.monotonic() - started >= 0.2


def test_trouble_that_stays_is_told_after_the_retries(client: Client, answering: Server) -> None:
    answering.misbehaves = [busy] * 9
    with pytest.raises(ServerUnreachable, match=r"/invocations: status 503 after every retry"):
        client.score([{"age": 50}])
    assert len(answering.sizes) == 3
    nobody = Client(f"http://127.0.0.1:{free_port()}", retries=1)
    with nobody, pytest.raises(ServerUnreachable, match=r"no connection \(") as told:
        nobody.score([{"age": 50}])
    assert "object at" not in str(told.value)


def test_silence_and_a_refusal_are_not_tried_again(client: Client, answering: Server) -> None:
    with pytest.raises(RequestRefused, match="allowed: best_f1") as refused:
        client.score([{"age": 50}], policy="mine")
    assert (refused.value.status, refused.value.code, refused.value.field) == (400, "not_allowed", "params.policy")
    assert len(answering.sizes) == 1
    answering.misbehaves = [stall] * 3
    with Client(answering.url, timeout_s=0.3, retries=3) as hasty, pytest.raises(ServerTimeout, match=r"0\.3 s"):
        hasty.score([{"age": 50}])
    assert len(answering.sizes) == 2


@pytest.mark.parametrize(
    ("misbehaviour", "problem"),
    [
        (lambda handler: answer(handler, 500, {"message": "the log says where"}), "the log says where"),
        (lambda handler: answer(handler, 200, ["other"]), "nothing that Leadwise would say"),
        (lambda handler: answer(handler, 200, {"predictions": []}), "nothing that Leadwise would say"),
        (lambda handler: answer(handler, 307, {}, Location="http://127.0.0.1:9/"), "status 307"),
    ],
)
def test_another_answer_is_an_error_and_no_redirection_is_followed(
    client: Client, answering: Server, misbehaviour: Misbehaviour, problem: str
) -> None:
    answering.misbehaves = [misbehaviour]
    with pytest.raises(ServerFailed, match=problem):
        client.score([{"age": 50}])
    assert len(answering.sizes) == 1


@pytest.mark.parametrize("arguments", [{"timeout_s": 0}, {"retries": -1}, {"batch": 0}, {"batch": 1025}])
def test_arguments_out_of_range_are_told(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        Client("http://127.0.0.1:5001", **arguments)
    with pytest.raises(ValueError, match="http"):
        Client("localhost:5001")


@given(
    hnp.arrays(
        st.sampled_from([np.int16, np.int32, np.uint8, np.float32, np.float64, ">i2", ">f4"]),
        st.tuples(st.integers(1, 20), st.integers(1, 20)),
    )
)
def test_any_array_arrives_as_it_was(samples: np.ndarray) -> None:
    row = json.loads(json.dumps(request_row({"signal": samples, "fs_hz": 100})))
    assert base64.b64decode(row["signal"], validate=True)
    with np.errstate(over="ignore"):
        expected = samples.astype(np.float32)
    if samples.dtype == np.int16:
        expected = np.where(samples == -32768, np.float32(np.nan), expected)
    assert np.array_equal(read_samples(row), expected, equal_nan=True)
