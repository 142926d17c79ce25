"""The parameters of every entry point: read from ``pipelines/params.yaml``, overridden by name, checked, frozen.

A parameter has one name everywhere: ``learning-rate`` in params.yaml, for `mlflow run` (``-P learning-rate=0.01``) and
on a script's command line (``--learning-rate 0.01``); ``learning_rate`` where Python needs an identifier.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from leadwise.contract import (
    EncoderName,
    FeatureSet,
    HeadName,
    LeadwiseError,
    Precision,
    StoredRate,
)
from leadwise.models.spec import ALL, MODELS

PROJECT_ROOT = Path(__file__).resolve().parents[2]
_CHECKOUT = PROJECT_ROOT / "pipelines"
PARAMS_FILE = (_CHECKOUT if _CHECKOUT.is_dir() else Path(__file__).parent) / "params.yaml"
"""In a checkout that of ``pipelines``; a wheel has a copy of it beside the code."""

COPIES = (".dvc", "tmp", "exps")
"""Below these folders of a project DVC makes copies of it, for experiments that do not run in the project itself."""

CONFIGURATIONS = PARAMS_FILE.parent / "configurations"
"""Named sets of values that replace some of params.yaml."""

Monitor = Literal["val/macro_auroc", "val/binary_accuracy"]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
IngestRate = Annotated[StoredRate, BeforeValidator(lambda value: int(value) if str(value).isdecimal() else value)]
"""A command line knows text only, and a ``Literal`` of numbers takes no text."""

RENAMED: Mapping[str, str] = {
    "gain": "amplitude-scale",
    "metadata-dropout": "feature-dropout",
    "disturbed-share": "augment-prob",
    "silent-leads": "lead-dropout",
}
"""Parameters by the names that they had before."""


def _known_model(name: str) -> str:
    if name != ALL and name not in MODELS:
        raise ValueError(f"allowed: {', '.join([ALL, *MODELS])}")
    return name


AskedModel = Annotated[str, AfterValidator(_known_model), Field(json_schema_extra={"enum": [ALL, *MODELS]})]
"""A model of the registry, those that are registered later too, or all of them."""


class ConfigError(LeadwiseError):
    """A parameter is unknown or has a value that is not allowed; the message names it."""


def project_home() -> Path:
    """The folder of the project; of a copy that DVC has made for an experiment, that of the project itself."""
    for folder in PROJECT_ROOT.parents:
        if folder.parts[-len(COPIES) :] == COPIES:
            return folder.parents[len(COPIES) - 1]
    return PROJECT_ROOT


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class Section(BaseModel):
    """One section of params.yaml: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_kebab, populate_by_name=True)


class Shared(Section):
    """What more than one stage needs."""

    configuration: Literal["default", "demo", "original"] = Field(
        description="named values that replace some of params.yaml; demo: small, for simulated data; original: the "
        "networks that Leadwise grew from"
    )
    workspace: Path = Field(description="folder for everything the stages write")
    feature_set: FeatureSet = Field(description="clinical (served) or original (leaks the diagnosis)")
    monitor: Monitor = Field(description="validation metric that picks epoch, trial and champion")
    seed: int = Field(ge=0, lt=2**31, description="seed of everything random")


class Simulate(Section):
    """The simulated PTB-XL tree."""

    tree: Path = Field(description="where the simulated PTB-XL is written")
    patients: int = Field(ge=300, le=100_000, description="simulated patients; some have several records")


class Ingest(Section):
    """From a PTB-XL tree to the store."""

    source: Path = Field(description="a PTB-XL tree; simulate's tree is written first")
    rate: IngestRate = Field(description="sampling rate in Hz of the waveforms to read: 100 or 500; models take 100")
    workers: int = Field(ge=0, le=1024, description="processes that read; 0: one per processor")
    max_unreadable_share: Share = Field(description="share of unreadable records above which ingestion stops")


class Tune(Section):
    """The Optuna study of each model."""

    trials: int = Field(ge=1, description="trials per model, all workers of the study together")
    timeout_min: float = Field(gt=0, description="minutes per model and worker; a trial that has begun is ended")
    tune_epochs: int = Field(ge=1, description="epochs of a trial that is not pruned; its schedule spans them")
    tune_share: float = Field(gt=0, le=1, description="share of the training records that a trial is trained on")
    sampler: Literal["tpe", "random"] = Field(
        description="who proposes values: tpe learns from earlier trials; random, to be laid beside it, does not"
    )
    objectives: Literal["score", "score_and_cost"] = Field(
        description="score: the monitored metric; score_and_cost: that and the multiply-adds of one answer"
    )
    study_storage: str = Field(
        description="where the study is kept: an address of SQLAlchemy; empty: SQLite in the workspace"
    )
    lost_after_s: int = Field(
        ge=5, le=86_400, description="seconds without a sign of life after which another worker tries a trial again"
    )


class Train(Section):
    """The models and how they are fitted."""

    model: AskedModel = Field(description="which model, or all")
    use_tuned: bool = Field(description="take the parameters that the tune stage found")
    learning_rate: float = Field(gt=0, le=1, description="highest learning rate of AdamW")
    schedule: Literal["one_cycle", "cosine", "constant"] = Field(description="learning rate over the epochs")
    weight_decay: float = Field(ge=0, le=1, description="decoupled weight decay; 0: plain Adam")
    ema_epochs: float = Field(ge=0, le=100, description="epochs over which weights are averaged; 0: not at all")
    batch_size: int = Field(ge=1, le=4096, description="records per batch")
    precision: Literal["auto", Precision] = Field(
        description="fusion models: of the arithmetic in training; bfloat16 keeps the weights in float32; auto: "
        "bfloat16 where the processor has it (avx512_bf16, amx_bf16), float32 elsewhere"
    )
    epochs_metadata: int = Field(ge=1, description="most epochs of the metadata model")
    epochs_fusion: int = Field(ge=1, description="most epochs of the fusion models")
    patience_metadata: int = Field(ge=1, description="epochs without gain before the metadata model stops")
    patience_fusion: int = Field(ge=1, description="epochs without gain before a fusion model stops")
    encoder: EncoderName = Field(description="what reads the recording")
    encoder_width: int = Field(ge=4, le=1024, description="channels of the encoder, in its own units")
    head: HeadName = Field(description="before the logits: linear (nothing) or dense (the original's two layers)")
    statement_weight: float = Field(
        ge=0, le=100, description="weight of the loss on the 71 statements; 0: no such output"
    )
    dropout_branch: Rate = Field(description="drop-out of the metadata branch")
    dropout_head: Rate = Field(description="drop-out after the encoder and in the dense head")
    feature_dropout: Rate = Field(description="share of training records whose clinical features are dropped")
    window_samples: int = Field(ge=100, le=1000, description="fusion: samples of one random window")
    window_samples_augmented: int = Field(ge=100, le=1000, description="fusion_augmented: samples of one random window")
    amplitude_scale: Rate = Field(description="fusion models: amplitudes vary by up to this share")
    white_noise_mv: float = Field(
        ge=0, le=1, description="fusion_augmented: white noise in every record and lead, mV root mean square"
    )
    augment_prob: Rate = Field(description="fusion_augmented: share of records that the following may be added to")
    noise_mv: float = Field(ge=0, le=5, description="fusion_augmented: up to so much white or muscle noise, mV rms")
    wander_mv: float = Field(ge=0, le=5, description="fusion_augmented: up to so much baseline wander, mV rms")
    hum_mv: float = Field(ge=0, le=5, description="fusion_augmented: up to so much 50 Hz hum, mV at 500 Hz")
    lead_dropout: int = Field(ge=0, le=11, description="fusion_augmented: up to so many leads are set to 0")
    mixup: float = Field(ge=0, le=2, description="fusion: both parameters of mixup's Beta distribution; 0: none")
    mixup_augmented: float = Field(ge=0, le=2, description="fusion_augmented: the same")

    @property
    def models(self) -> tuple[str, ...]:
        """The models that ``model`` asks for."""
        return tuple(MODELS) if self.model == ALL else (self.model,)


class Evaluate(Section):
    """Figures on fold 10."""

    bootstrap: int = Field(ge=100, le=100_000, description="patient-level bootstrap replicates")
    robustness: int = Field(ge=0, le=100_000, description="records of fold 10 that are disturbed; 0: none")
    compare_with: str = Field(description="another workspace whose evaluations are compared too; empty: none")


class Register(Section):
    """Packaging and the model registry."""

    source: Literal["workspace", "pretrained"] = Field(
        description="workspace: what the stages before left there; pretrained: the networks that Leadwise brings along",
        json_schema_extra={"entry_point": "register"},
    )
    registered_model: str = Field(
        pattern=r"^[A-Za-z0-9_-]+$", description="name in the registry; auto: leadwise, or leadwise-demo if simulated"
    )


class Gate(Section):
    """What a registered version must reach to become the champion.

    What begins with ``simulated-`` holds for weights from simulated data in place of the parameter without it.
    """

    floor_macro_auroc: Share = Field(description="lowest macro AUROC on fold 10")
    floor_class_auroc: Share = Field(description="lowest AUROC of each class on fold 10")
    highest_ece: Share = Field(description="highest expected calibration error on fold 10, mean over the classes")
    margin_macro_auroc: Share = Field(
        description="macro AUROC by which a candidate may be worse than the champion: the lower bound of the paired "
        "95 % interval of the difference must lie above minus this"
    )
    margin_class_auroc: Share = Field(description="the same for the AUROC of each class")
    allow_other_data: bool = Field(description="a champion of other data, by their digest, may be replaced")
    simulated_floor_macro_auroc: Share = Field(description="floor-macro-auroc for simulated data")
    simulated_floor_class_auroc: Share = Field(description="floor-class-auroc for simulated data")
    simulated_highest_ece: Share = Field(description="highest-ece for simulated data")
    simulated_margin_macro_auroc: Share = Field(description="margin-macro-auroc for simulated data")
    simulated_margin_class_auroc: Share = Field(description="margin-class-auroc for simulated data")
    simulated_allow_other_data: bool = Field(description="allow-other-data for simulated data")
    allow_uncompared: bool = Field(
        description="a champion that cannot be compared may be replaced: for want of data, or because it does not load"
    )
    fewest_answered: Share = Field(description="lowest share of the recordings of fold 10 that are answered")
    comparison_bootstrap: int = Field(ge=100, le=100_000, description="patient-level replicates of the comparison")
    p95_latency_ms: float = Field(
        gt=0, description="highest 95th percentile of the time of one answer, in a fresh process, in ms"
    )
    memory_mib: float = Field(gt=0, description="highest peak memory of that process, in MiB")
    clean_environment: bool = Field(
        description="answer the example also in a new environment of the version's own requirements"
    )


class Score(Section):
    """Many recordings in files to one table of answers."""

    input: Path = Field(description="a folder of recordings, or a CSV or Parquet table of their files with facts")
    output: Path = Field(description="the Parquet table of answers to write")
    model: str = Field(
        description="models:/NAME@ALIAS or models:/NAME/VERSION of the registry, pretrained (what Leadwise brings "
        "along), or the folder of a package"
    )
    policy: str = Field(description="which thresholds answer; empty: those that the model was registered with")
    workers: int = Field(ge=0, le=1024, description="processes that read and score; 0: one per processor")
    part_records: int = Field(
        ge=1, le=100_000, description="recordings of one part: what is lost by an interruption, and held in memory"
    )
    fs_hz: float = Field(ge=0, le=2000, description="sampling rate in Hz of files that do not say it; 0: not known")
    units: Literal["stated", "mV", "uV", "V", "nV"] = Field(
        description="of the numbers in all files; stated: what each file states"
    )
    leads: str = Field(description="names of the leads of all files, with commas; empty: what each file states")


class App(Section):
    """The page."""

    url: str = Field(description="of a scoring server that answers; empty: a model in the page's own process")
    model: str = Field(
        description="models:/NAME@ALIAS of the registry, pretrained (what Leadwise brings along), or the folder of a "
        "package; empty: the champion leadwise, else pretrained, else the champion leadwise-demo"
    )
    tree: str = Field(description="a PTB-XL tree, for real examples; empty: simulated ones")
    port: int = Field(ge=1, le=65535, description="where the page listens")
    address: str = Field(description="of the network interface; 0.0.0.0 lets other machines in")


class Main(Section):
    """The whole pipeline."""

    with_tuning: bool = Field(description="run the tune stage and train with what it found")


class Parameters(BaseModel):
    """All sections of params.yaml. An entry point takes the parameters of the sections in ``ENTRY_POINTS``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shared: Shared
    simulate: Simulate
    ingest: Ingest
    tune: Tune
    train: Train
    evaluate: Evaluate
    registration: Register = Field(alias="register")
    gate: Gate
    score: Score
    app: App
    main: Main

    def flat(self, entry_point: str) -> dict[str, Any]:
        """Every parameter of one entry point by its kebab-case name."""
        values: dict[str, Any] = {}
        for section in ENTRY_POINTS[entry_point]:
            found = getattr(self, section)
            taken = {name for name, field in type(found).model_fields.items() if _belongs(field, entry_point)}
            values |= found.model_dump(mode="json", by_alias=True, include=taken)
        return values


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as a command line and params.yaml spell them."""
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


ENTRY_POINTS: Mapping[str, tuple[str, ...]] = {
    "main": ("shared", "simulate", "ingest", "tune", "train", "evaluate", "registration", "gate", "main"),
    "simulate": ("shared", "simulate"),
    "ingest": ("shared", "simulate", "ingest"),
    "tune": ("shared", "train", "tune"),
    "train": ("shared", "train"),
    "evaluate": ("shared", "train", "evaluate"),
    "register": ("shared", "registration", "gate"),
    "rollback": ("shared", "registration"),
    "score": ("score",),
    "app": ("app",),
}
"""The sections whose parameters each entry point takes, most general first."""


def _belongs(field: FieldInfo, entry_point: str) -> bool:
    """Whether an entry point takes a parameter of its sections: some are for one entry point alone."""
    extra = field.json_schema_extra
    return not isinstance(extra, dict) or extra.get("entry_point", entry_point) == entry_point


_SECTION_KEYS = {"registration": "register"}


def section_fields(entry_point: str) -> dict[str, tuple[str, str, Any]]:
    """Kebab-case name -> (section key in params.yaml, description, annotation) of an entry point's parameters."""
    fields = {}
    for section in ENTRY_POINTS[entry_point]:
        model = Parameters.model_fields[section].annotation
        assert isinstance(model, type) and issubclass(model, Section)
        for name, field in model.model_fields.items():
            if not _belongs(field, entry_point):
                continue
            key = _SECTION_KEYS.get(section, section)
            fields[_kebab(name)] = (key, field.description or "", field.annotation)
    return fields


def load_parameters(
    overrides: Mapping[str, Any] | None = None, *, entry_point: str = "main", file: Path | None = None
) -> Parameters:
    """Read params.yaml and apply overrides by kebab-case name.

    Args:
        overrides: values by name, as text or as typed values.
        entry_point: the entry point whose parameters may be overridden.
        file: another params.yaml.

    Raises:
        ConfigError: a key or value is not allowed; the message names the parameter, what was received and what is
            allowed.
    """
    content = _read_sections(file or PARAMS_FILE)
    known = section_fields(entry_point)
    given = dict(overrides or {})
    for name in given:
        if name not in known:
            raise ConfigError(f"{name}: not a parameter of {entry_point}; {_instead(name, known)}")
    named = str(given.get("configuration", content.get("shared", {}).get("configuration")))
    if (overlay := CONFIGURATIONS / f"{named}.yaml") in CONFIGURATIONS.glob("*.yaml"):
        for section, values in _read_sections(overlay).items():
            content.setdefault(section, {}).update(values)
    for name, value in given.items():
        content.setdefault(known[name][0], {})[name] = value
    try:
        return Parameters.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem) for problem in error.errors())) from None


def _instead(name: str, known: Iterable[str]) -> str:
    return f"it is called {RENAMED[name]} now" if name in RENAMED else f"allowed: {', '.join(sorted(known))}"


def _read_sections(file: Path) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read as YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(section, dict) for section in content.values()):
        raise ConfigError(f"{file}: expected sections with keys, received {type(content).__name__}")
    return content


def _explain(problem: Any) -> str:
    name = str(problem["loc"][1] if len(problem["loc"]) > 1 else problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        renamed = f"; it is called {RENAMED[name]} now" if name in RENAMED else ""
        return f"{name}: unknown parameter in section '{problem['loc'][0]}' of params.yaml{renamed}"
    if problem["type"] == "missing":
        return f"{name}: missing in section '{problem['loc'][0]}' of params.yaml"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}: received {problem['input']!r}; {message[0].lower()}{message[1:]}"


def parse_arguments(entry_point: str, arguments: Sequence[str] | None = None) -> Parameters:
    """Parse a script's command line; a bad parameter ends the program with status 2 and a message that names it."""
    parser = argparse.ArgumentParser(
        prog=f"pipelines/{entry_point}.py",
        description=f"The {entry_point} stage of Leadwise. Defaults stand in pipelines/params.yaml.",
        allow_abbrev=False,
    )
    for name, (_, description, annotation) in section_fields(entry_point).items():
        metavar = "|".join(choices) if (choices := _choices(annotation)) else name.rsplit("-", 1)[-1].upper()
        parser.add_argument(f"--{name}", metavar=metavar, help=description)
    known, unknown = parser.parse_known_args(arguments)
    for old in (name.partition("=")[0].removeprefix("--") for name in unknown):
        if old in RENAMED:
            parser.exit(2, f"{parser.prog}: error: --{old}: it is called --{RENAMED[old]} now\n")
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    given = {_kebab(name): value for name, value in vars(known).items() if value is not None}
    try:
        return load_parameters(given, entry_point=entry_point)
    except ConfigError as error:
        parser.exit(2, f"{parser.prog}: error: {error}\n")


def _choices(annotation: Any) -> list[str]:
    """What a Literal, or a union of Literals, allows, as text."""
    found: list[str] = []
    for argument in get_args(annotation):
        found += [str(argument)] if isinstance(argument, str | int) else _choices(argument)
    return found
