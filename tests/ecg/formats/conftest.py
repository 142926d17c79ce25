"""The same simulated ECG written in every format, by a writer of somebody else's where there is one."""

import base64
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import device_files
import numpy as np
import pandas as pd
import pytest
from scipy import signal as sp

from leadwise.contract import LEADS
from leadwise.datasets.synthetic import simulate_record

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Ecg:
    """A recording to write.

    Attributes:
        microvolts: ``(time, lead)`` whole numbers.
        fs_hz: sampling rate.
        names: of the leads, as the file is to spell them.
        unit: of the numbers in the file, where the format has a choice.
    """

    microvolts: np.ndarray
    fs_hz: int
    names: Sequence[str] = LEADS
    unit: str = "uV"
    birth: date = field(default=date(1962, 5, 17))

    @property
    def mv(self) -> np.ndarray:
        return self.microvolts / 1000

    @property
    def in_unit(self) -> np.ndarray:
        return self.microvolts / {"uV": 1, "mV": 1000}[self.unit]


@pytest.fixture(scope="session")
def ecg() -> Callable[..., Ecg]:
    """``ecg(fs_hz, names=, unit=, seconds=)``: columns are the standard leads unless ``leads`` picks others."""

    def make(fs_hz: int = 100, *, leads: Sequence[str] = LEADS, seconds: float = 10, **more: object) -> Ecg:
        signal = simulate_record("NORM", 4, noise=0.5).signal_mv.astype(float)
        resampled = sp.resample_poly(signal, fs_hz, 100, axis=0)[: round(seconds * fs_hz)]
        columns = [LEADS.index(lead) for lead in leads]
        microvolts = np.round(resampled[:, columns] * 1000)
        return Ecg(microvolts, fs_hz, **({"names": leads} | more))

    return make


def wfdb_files(one: Ecg, folder: Path, *, fmt: str = "16", name: str = "rec", comments: Sequence[str] = ()) -> Files:
    import wfdb

    folder.mkdir(exist_ok=True)
    wfdb.wrsamp(
        name, fs=one.fs_hz, units=[one.unit] * len(one.names), sig_name=list(one.names), p_signal=one.in_unit,
        fmt=[fmt] * len(one.names), adc_gain=[{"mV": 1000.0, "uV": 1.0}[one.unit]] * len(one.names),
        baseline=[0] * len(one.names), comments=list(comments), write_dir=str(folder),
    )  # fmt: skip
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def edf_bytes(one: Ecg, *, sex: str = "F", start: date = date(2020, 6, 1), rate_of_last: int | None = None) -> bytes:
    import edfio

    signals = [
        edfio.EdfSignal(
            data, one.fs_hz, label=name, physical_dimension=one.unit,
            physical_range=(-32768 * scale, 32767 * scale), digital_range=(-32768, 32767),
        )
        for name, data in zip(one.names, one.in_unit.T, strict=True)
        for scale in [{"uV": 1.0, "mV": 0.001}[one.unit]]
    ]  # fmt: skip
    if rate_of_last is not None:
        seconds = len(one.microvolts) // one.fs_hz
        signals.append(
            edfio.EdfSignal(np.zeros(seconds * rate_of_last), rate_of_last, label="Resp", physical_range=(-1, 1))
        )
    patient = edfio.Patient(code="ID-77", sex=sex, birthdate=one.birth, name="Mona_Secret")
    edf = edfio.Edf(signals, patient=patient, recording=edfio.Recording(startdate=start))
    return edf.to_bytes()


def hl7_bytes(one: Ecg, *, scale: float = 1.0, origin: float = 0.0, increment: str = "", unit: str = "") -> bytes:
    """After the examples of the implementation guide of the HL7 aECG standard."""
    unit = unit or one.unit
    factor = {"uV": 1.0, "mV": 0.001, "nV": 1000.0}[unit]
    step = increment or f'value="{1 / one.fs_hz:.9g}" unit="s"'
    leads = "".join(
        f'<component><sequence><code code="{name}" codeSystem="2.16.840.1.113883.6.24"/><value xsi:type="SLIST_PQ">'
        f'<origin value="{origin * factor:.9g}" unit="{unit}"/><scale value="{scale * factor:.9g}" unit="{unit}"/>'
        f"<digits>{' '.join(str(round((value - origin) / scale)) for value in column)}</digits>"
        "</value></sequence></component>"
        for name, column in zip(one.names, one.microvolts.T, strict=True)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<AnnotatedECG xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <id root="61d1a24f-b47e-41aa-ae95-f8ac302f4eeb"/>
 <code code="93000" codeSystem="2.16.840.1.113883.6.12"/>
 <effectiveTime><low value="20200601091000.000"/><high value="20200601091010.000"/></effectiveTime>
 <componentOf><timepointEvent><componentOf><subjectAssignment><subject><trialSubject><id extension="SBJ-123"/>
  <subjectDemographicPerson><name>Mona Secret</name><administrativeGenderCode code="F"/>
   <birthTime value="{one.birth:%Y%m%d}"/></subjectDemographicPerson>
 </trialSubject></subject></subjectAssignment></componentOf></timepointEvent></componentOf>
 <component><series><code code="RHYTHM"/><effectiveTime><low value="20200601091000.000"/></effectiveTime>
  <component><sequenceSet>
   <component><sequence><code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS"><head value="20200601091000.000"/>
    <increment {step}/></value></sequence></component>{leads}
  </sequenceSet></component>
  <derivation><derivedSeries><code code="REPRESENTATIVE_BEAT"/><component><sequenceSet><component><sequence>
   <code code="MDC_ECG_LEAD_I"/><value xsi:type="SLIST_PQ"><origin value="0" unit="uV"/><scale value="1" unit="uV"/>
   <digits>1 2 3</digits></value></sequence></component></sequenceSet></component></derivedSeries></derivation>
 </series></component>
</AnnotatedECG>""".encode()


def in_base64(stored: np.ndarray) -> str:
    return base64.encodebytes(stored.astype("<i2").tobytes()).decode()


def muse_bytes(one: Ecg, *, per_bit: float = 4.88, unit: str = "MICROVOLTS", demographics: str = "") -> bytes:
    """After what MUSE exports: a document type, medians first, then the rhythm, eight leads."""

    def waveform(kind: str, samples: np.ndarray) -> str:
        leads = "".join(
            f"<LeadData><LeadByteCountTotal>{2 * len(column)}</LeadByteCountTotal><LeadTimeOffset>0</LeadTimeOffset>"
            f"<LeadSampleCountTotal>{len(column)}</LeadSampleCountTotal>"
            f"<LeadAmplitudeUnitsPerBit>{per_bit}</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>{unit}</LeadAmplitudeUnits>"
            f"<LeadID>{name}</LeadID><LeadSampleSize>2</LeadSampleSize><LeadOff>FALSE</LeadOff>"
            f"<WaveFormData>\n{in_base64(np.round(column / per_bit))}</WaveFormData></LeadData>"
            for name, column in zip(one.names, samples.T, strict=True)
        )
        return (
            f"<Waveform><WaveformType>{kind}</WaveformType><NumberofLeads>{len(one.names)}</NumberofLeads>"
            f"<SampleType>CONTINUOUS_SAMPLES</SampleType><SampleBase>{one.fs_hz}</SampleBase>"
            f"<SampleExponent>0</SampleExponent>{leads}</Waveform>"
        )

    patient = demographics or (
        "<PatientAge>58</PatientAge><AgeUnits>YEARS</AgeUnits><DateofBirth>05-17-1962</DateofBirth>"
        "<Gender>FEMALE</Gender><HeightIN>65</HeightIN><WeightLBS>150</WeightLBS>"
    )
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE RestingECG SYSTEM "restecg.dtd">
<RestingECG><MuseInfo><MuseVersion>9.0.9</MuseVersion></MuseInfo>
<PatientDemographics><PatientID>ID-77</PatientID><PatientLastName>Secret</PatientLastName>
{patient}</PatientDemographics>
<TestDemographics><AcquisitionDate>06-01-2020</AcquisitionDate></TestDemographics>
{waveform("Median", one.microvolts[: one.fs_hz])}{waveform("Rhythm", one.microvolts)}</RestingECG>""".encode("latin-1")


SCPECG = dict(zip(LEADS, ("1", "2", "61", "62", "63", "64", "3", "4", "5", "6", "7", "8"), strict=True))


def dicom_bytes(
    one: Ecg,
    *,
    scheme: str = "MDC",
    sensitivity: float = 1.0,
    baseline: float = 0.0,
    groups: Sequence[Sequence[int]] | None = None,
    syntax: str = "1.2.840.10008.1.2.1",
    change: Callable[[object], None] = lambda dataset: None,
) -> bytes:
    """A 12-lead ECG object by pydicom's own writer; ``groups`` spreads the leads over several multiplex groups."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, TwelveLeadECGWaveformStorage, generate_uid

    def code(value: str, designator: str, meaning: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, designator, meaning
        return item

    def channel(name: str) -> Dataset:
        item = Dataset()
        number = SCPECG.get(name, "")
        value = {"MDC": f"2:{number}", "SCPECG": f"5.6.3-9-{number}", "NAME": name}[scheme]
        item.ChannelSourceSequence = [code(value, scheme, f"Lead {name}")]
        item.ChannelSensitivity = sensitivity
        item.ChannelSensitivityUnitsSequence = [code(one.unit, "UCUM", one.unit)]
        item.ChannelSensitivityCorrectionFactor = 1
        item.ChannelBaseline = baseline
        item.WaveformBitsStored = 16
        return item

    def group(columns: Sequence[int], samples: np.ndarray, originality: str) -> Dataset:
        item = Dataset()
        item.MultiplexGroupTimeOffset = 0
        item.WaveformOriginality = originality
        item.NumberOfWaveformChannels, item.NumberOfWaveformSamples = len(columns), len(samples)
        item.SamplingFrequency = one.fs_hz
        item.ChannelDefinitionSequence = [channel(one.names[column]) for column in columns]
        item.WaveformBitsAllocated, item.WaveformSampleInterpretation = 16, "SS"
        stored = np.round((samples[:, columns] - baseline) / sensitivity)
        item.WaveformData = stored.astype("<i2").tobytes()
        return item

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = TwelveLeadECGWaveformStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID = "Secret^Mona", "ID-77"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.StudyDate = f"{one.birth:%Y%m%d}", "F", "20200601"
    dataset.PatientSize, dataset.PatientWeight = 1.65, 68
    every = list(range(len(one.names)))
    dataset.WaveformSequence = [group(list(columns), one.in_unit, "ORIGINAL") for columns in groups or [every]]
    dataset.WaveformSequence.append(group(every, one.in_unit[: one.fs_hz], "DERIVED"))
    change(dataset)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def csv_bytes(one: Ecg, *, header: bool = True, time: str = "time_s", sep: str = ",", decimal: str = ".") -> bytes:
    table = pd.DataFrame(one.in_unit, columns=[f"{name} ({one.unit})" for name in one.names])
    if time:
        table.insert(0, time, np.arange(len(table)) / one.fs_hz)
    return table.to_csv(index=False, header=header, sep=sep, decimal=decimal).encode()


def npz_bytes(one: Ecg, **more: object) -> bytes:
    stream = io.BytesIO()
    facts = {"fs_hz": one.fs_hz, "leads": np.array(one.names), "units": one.unit} | more
    np.savez_compressed(stream, signal=one.in_unit, **facts)
    return stream.getvalue()


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def parquet_bytes(one: Ecg) -> bytes:
    table = pd.DataFrame(one.in_unit.astype(np.float32), columns=[f"{name} ({one.unit})" for name in one.names])
    table.insert(0, "time (s)", np.arange(len(table)) / one.fs_hz)
    return table.to_parquet(index=False)


def zip_bytes(files: Files, **more: object) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, **more) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


WRITERS: Mapping[str, Callable[..., object]] = {
    "wfdb": wfdb_files,
    "edf": edf_bytes,
    "hl7": hl7_bytes,
    "muse": muse_bytes,
    "dicom": dicom_bytes,
    "csv": csv_bytes,
    "npz": npz_bytes,
    "npy": npy_bytes,
    "parquet": parquet_bytes,
    "zip": zip_bytes,
    **device_files.WRITERS,
}


@pytest.fixture(scope="session")
def write() -> Callable[..., object]:
    """``write("edf", ecg, ...)``: the bytes of a file, or of several by name."""
    return lambda kind, *given, **more: WRITERS[kind](*given, **more)
