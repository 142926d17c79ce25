"""The parameters of every entry point: type, range, default and meaning of each.

A parameter has one name everywhere: ``learning-rate`` for `mlflow run` (``-P learning-rate=0.01``), on a script's
command line (``--learning-rate 0.01``) and in ``pipelines/params.yaml``, where a project keeps what it sets for itself;
``learning_rate`` where Python needs an identifier. DVC reads the defaults from this file too: those that decide a
result are literals.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from leadwise.contract import EncoderName, FeatureSet, HeadName, LeadwiseError, Precision, StoredRate
from leadwise.models.spec import ALL, MODELS

PROJECT_ROOT = Path(__file__).resolve().parents[2]
_CHECKOUT = PROJECT_ROOT / "pipelines"
PARAMS_FILE = _CHECKOUT / "params.yaml"
"""What differs from the defaults in this checkout; an installed package has none."""

CONFIGURATIONS = (_CHECKOUT if _CHECKOUT.is_dir() else Path(__file__).parent) / "configurations"
"""Named sets of values that replace defaults; a wheel has a copy of them beside the code."""

Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Beta = Annotated[float, Field(ge=0, le=2)]
Count = Annotated[int, Field(ge=1)]
Window = Annotated[int, Field(ge=100, le=1000)]
Workers = Annotated[int, Field(ge=0, le=1024)]
ByMetric = Annotated[str, Field(pattern=r"^([a-z0-9_/]+:\d+(\.\d+)?(,|$))*$")]
"""``macro_auroc:0.9,ece:0.05``; the gate knows the names."""
IngestRate = Annotated[StoredRate, BeforeValidator(lambda value: int(value) if str(value).isdecimal() else value)]
"""A command line knows text only, and a ``Literal`` of numbers takes no text."""


def _known_model(name: str) -> str:
    if name != ALL and name not in MODELS:
        raise ValueError(f"allowed: {', '.join([ALL, *MODELS])}")
    return name


AskedModel = Annotated[str, AfterValidator(_known_model), Field(json_schema_extra={"enum": [ALL, *MODELS]})]
"""A model of the registry, those that are registered later too, or all of them."""


class ConfigError(LeadwiseError):
    """A parameter is unknown or has a value that is not allowed; the message names it."""


def kebab(name: str) -> str:
    """A parameter's name as a command line has it."""
    return name.replace("_", "-")


class Section(BaseModel):
    """One section of the parameters: frozen, and an unknown key is an error. What stands below a field describes it."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=kebab,
        populate_by_name=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )


class Shared(Section):
    """What more than one stage needs."""

    configuration: Literal["default", "demo", "original"] = "default"
    """named values that replace defaults; demo: small, for simulated data; original: the networks that Leadwise grew
    from"""
    workspace: Path = Path("workspace/simulated")
    """folder for everything the stages write"""
    feature_set: FeatureSet = "clinical"
    """clinical (served) or original (leaks the diagnosis)"""
    monitor: Literal["val/macro_auroc", "val/binary_accuracy"] = "val/macro_auroc"
    """validation metric that picks epoch, trial and champion"""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 20
    """seed of everything random"""


class Simulate(Section):
    """The simulated PTB-XL tree."""

    tree: Path = Path("data/simulated")
    """where the simulated PTB-XL is written"""
    patients: Annotated[int, Field(ge=300, le=100_000)] = 600
    """simulated patients; some have several records"""


class Ingest(Section):
    """From a PTB-XL tree to the store."""

    source: Path = Path("data/simulated")
    """a PTB-XL tree; simulate's tree is written first"""
    rate: IngestRate = 100
    """sampling rate in Hz of the waveforms to read: 100 or 500; models take 100"""
    workers: Workers = 0
    """processes that read; 0: one per processor"""
    max_unreadable_share: Share = 0.001
    """share of unreadable records above which ingestion stops"""


class Tune(Section):
    """The Optuna study of each model."""

    trials: Count = 40
    """trials per model, all workers of the study together"""
    timeout_min: Annotated[float, Field(gt=0)] = 60
    """minutes per model and worker; a trial that has begun is ended"""
    tune_epochs: Count = 12
    """epochs of a trial that is not pruned; its schedule spans them"""
    tune_share: Annotated[float, Field(gt=0, le=1)] = 0.4
    """share of the training records that a trial is trained on"""
    objectives: Literal["score", "score_and_cost"] = "score"
    """score: the monitored metric; score_and_cost: that and the multiply-adds of one answer"""
    study_storage: str = ""
    """where the study is kept: an address of SQLAlchemy; empty: SQLite in the workspace"""
    lost_after_s: Annotated[int, Field(ge=5, le=86_400)] = 60
    """seconds without a sign of life after which another worker tries a trial again"""


class Train(Section):
    """The models and how they are fitted. Values of so many digits are what tuning found (docs/tuning.md)."""

    model: AskedModel = "all"
    """which model, or all"""
    use_tuned: bool = False
    """take the parameters that the tune stage found"""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.008029709429081744
    """highest learning rate of AdamW"""
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    """learning rate over the epochs: one_cycle (up for a quarter, then a cosine to 0), cosine (up for an epoch) or
    constant"""
    weight_decay: Share = 0.015941829072647525
    """decoupled weight decay; 0: plain Adam"""
    ema_epochs: Annotated[float, Field(ge=0, le=100)] = 3
    """epochs over which weights are averaged; 0: not at all"""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 128
    """records per batch"""
    precision: Literal["auto", Precision] = "auto"
    """fusion models: of the arithmetic in training; bfloat16 keeps the weights in float32; auto: bfloat16 where the
    processor has it (avx512_bf16, amx_bf16), float32 elsewhere"""
    epochs_metadata: Count = 40
    """most epochs of the metadata model"""
    epochs_fusion: Count = 22
    """most epochs of the fusion models"""
    patience_metadata: Count = 10
    """epochs without gain before the metadata model stops"""
    patience_fusion: Count = 22
    """epochs without gain before a fusion model stops"""
    encoder: EncoderName = "se_resnet"
    """what reads the recording"""
    encoder_width: Annotated[int, Field(ge=4, le=1024)] = 64
    """channels of the encoder, in its own units"""
    head: HeadName = "linear"
    """before the logits: linear (nothing) or dense (the original's two layers of 64)"""
    statement_weight: Annotated[float, Field(ge=0, le=100)] = 19.575726886000297
    """weight of the loss on the 71 statements; 0: no such output"""
    dropout_branch: Rate = 0.31811776877019676
    """drop-out of the metadata branch"""
    dropout_head: Rate = 0.023056447818892142
    """drop-out after the encoder and in the dense head"""
    feature_dropout: Rate = 0.061368522379474426
    """fusion models: share of training records whose clinical features are dropped"""
    window_samples: Window = 250
    """fusion: samples of one random window"""
    window_samples_augmented: Window = 250
    """fusion_augmented: samples of one random window"""
    amplitude_scale: Rate = 0.08911655403036156
    """fusion models: amplitudes vary by up to this share"""
    white_noise_mv: Share = 0
    """fusion_augmented: white noise in every record and lead, mV root mean square"""
    augment_prob: Rate = 0.5
    """fusion_augmented: share of records with noise, wander, hum or dropped leads added"""
    mixup: Beta = 0.10831996455330808
    """fusion: both parameters of mixup's Beta distribution; 0: none"""
    mixup_augmented: Beta = 0.2
    """fusion_augmented: the same"""

    @property
    def models(self) -> tuple[str, ...]:
        """The models that ``model`` asks for."""
        return tuple(MODELS) if self.model == ALL else (self.model,)


class Evaluate(Section):
    """Figures on fold 10."""

    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """patient-level bootstrap replicates behind each 95 % interval"""
    robustness: Annotated[int, Field(ge=0, le=100_000)] = 500
    """records of fold 10 that are corrupted in 35 ways; 0: none"""
    compare_with: str = ""
    """another workspace whose evaluations are compared too; empty: none"""


class Register(Section):
    """Packaging and the model registry."""

    source: Annotated[Literal["workspace", "pretrained"], Field(json_schema_extra={"entry_point": "register"})] = (
        "workspace"
    )
    """workspace: what the stages before left there; pretrained: the model that ships"""
    registered_model: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "auto"
    """name in the registry; auto: leadwise, or leadwise-demo if simulated"""


class Gate(Section):
    """What a registered version must reach to become the champion, besides what its dataset says."""

    limits: ByMetric = ""
    """limits on fold 10 in place of those of the dataset: macro_auroc:0.9,auroc:0.85,ece:0.05; a metric's own name is
    of each class"""
    margins: ByMetric = ""
    """by how much a candidate may be worse than the champion, in the same way: the 95 % interval of the paired
    difference must not reach beyond"""
    allow_other_data: bool = False
    """a champion of other data, by their digest, may be replaced"""
    allow_uncompared: bool = False
    """a champion that cannot be compared may be replaced: for want of data, or because it does not load"""
    p95_latency_ms: Annotated[float, Field(gt=0)] = 250
    """highest 95th percentile of the time of one answer, in a fresh process, in ms"""
    memory_mib: Annotated[float, Field(gt=0)] = 700
    """highest peak memory of that process, in MiB"""
    clean_environment: bool = False
    """answer the example also in a new environment of the version's own requirements"""


class Score(Section):
    """Many recordings in files to one table of answers."""

    input: Path = Path("recordings")
    """a folder of recordings, or a CSV or Parquet table of their files with facts"""
    output: Path = Path("workspace/answers.parquet")
    """the Parquet table of answers to write"""
    model: str = "models:/leadwise@champion"
    """models:/NAME@ALIAS or models:/NAME/VERSION of the registry, pretrained (the model that ships), or the
    folder of a package"""
    policy: str = ""
    """which thresholds answer; empty: those that the model was registered with"""
    workers: Workers = 0
    """processes that read and score; 0: one per processor"""
    fs_hz: Annotated[float, Field(ge=0, le=2000)] = 0
    """sampling rate in Hz of files that do not say it; 0: not known"""
    units: Literal["stated", "mV", "uV", "V", "nV"] = "stated"
    """of the numbers in all files; stated: what each file states"""
    leads: str = ""
    """names of the leads of all files, with commas; empty: what each file states"""


class Validate(Section):
    """A registered model on another hospital's recordings."""

    source: Path = Path("recordings")
    """the folder or file that holds the recordings and their labels"""
    dataset: str = ""
    """how they are laid out: a dataset of docs/external-data.md; empty: what the source is recognised as"""
    model: str = "models:/leadwise@champion"
    """models:/NAME@ALIAS or models:/NAME/VERSION of the registry, pretrained (the model that ships), or the
    folder of a package"""
    label_map: Literal["strict", "wide"] = "strict"
    """strict: only codes that name a superclass beyond doubt count, what is doubtful is unknown; wide: doubtful codes
    count as present"""
    options: str = ""
    """of the dataset: gain:header, several with commas, or a JSON object"""
    split: str = "auto"
    """the part that is scored; auto: of a dataset that models are trained on its test part, else all; all"""
    policy: str = ""
    """which thresholds decide; empty: those that the model was registered with"""
    without: str = ""
    """clinical features that the model is not told, several with commas, or all; empty: it is told what is known"""
    output: Path = Path("workspace/validate")
    """folder for the reports; each dataset has its own below it, which is replaced"""
    max_unreadable_share: Share = 0.01
    """share of unreadable recordings above which it stops"""
    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """patient-level bootstrap replicates behind each 95 % interval"""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 20
    """of the bootstrap"""
    drawn: Annotated[int, Field(ge=0, le=50)] = 6
    """of the worst disagreements between model and label, how many are drawn"""


class Recalibrate(Section):
    """A version for one site."""

    dataset: str = "auto"
    """of the recordings: a name from the registry of datasets; auto: what the source is recognised as"""
    source: Path = Path("data/site")
    """the folder or table that holds the site's recordings"""
    site: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")] = "here"
    """its name: the version gets the alias site-NAME"""
    model: str = "models:/leadwise@champion"
    """models:/NAME@ALIAS or models:/NAME/VERSION of the registry, or pretrained (the model that ships)"""
    labels: Literal["known", "none"] = "known"
    """known: fit on the labels that there are; none: estimate from the answers alone how common each class is"""
    label_map: Literal["strict", "wide"] = "strict"
    """strict: only codes that name a superclass beyond doubt; wide: doubtful codes count as present"""
    options: str = ""
    """of the dataset: gain:header, several with commas, or a JSON object"""
    split: str = "auto"
    """the part of the dataset; auto: the test part of a dataset that models are trained on, else all; all"""
    max_unreadable_share: Share = 0.01
    """share of unreadable recordings above which it stops"""


class App(Section):
    """The page."""

    url: str = ""
    """of a scoring server that answers; empty: a model in the page's own process"""
    model: str = ""
    """models:/NAME@ALIAS of the registry, pretrained (the model that ships), or the folder of a package; empty:
    the champion leadwise, else pretrained, else the champion leadwise-demo"""
    tree: str = ""
    """a PTB-XL tree, for real examples; empty: simulated ones"""
    embed_from: str = ""
    """origins whose pages may show the page in a frame, with spaces between, such as https://HOST; empty: none"""
    port: Annotated[int, Field(ge=1, le=65535)] = 8501
    """where the page listens"""
    address: str = "127.0.0.1"
    """of the network interface; 0.0.0.0 lets other machines in"""


class Main(Section):
    """The whole pipeline."""

    with_tuning: bool = False
    """run the tune stage and train with what it found"""


class Parameters(BaseModel):
    """All sections. An entry point takes the parameters of the sections in ``ENTRY_POINTS``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shared: Shared = Shared()
    simulate: Simulate = Simulate()
    ingest: Ingest = Ingest()
    tune: Tune = Tune()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    registration: Annotated[Register, Field(alias="register")] = Register()
    gate: Gate = Gate()
    score: Score = Score()
    validation: Annotated[Validate, Field(alias="validate")] = Validate()
    recalibration: Annotated[Recalibrate, Field(alias="recalibrate")] = Recalibrate()
    app: App = App()
    main: Main = Main()

    def flat(self, entry_point: str) -> dict[str, Any]:
        """Every parameter of one entry point by its kebab-case name."""
        values = self.model_dump(mode="json")
        return {kebab(name): values[section][name] for section, name, _ in _taken(entry_point)}


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as a command line spells them."""
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
    "validate": ("validation",),
    "recalibrate": ("shared", "recalibration"),
    "app": ("app",),
}
"""The sections whose parameters each entry point takes, most general first."""


def _taken(entry_point: str) -> Iterator[tuple[str, str, FieldInfo]]:
    """Section, name and field of each parameter of an entry point: of its sections, but those for another one alone."""
    for section in ENTRY_POINTS[entry_point]:
        model = Parameters.model_fields[section].annotation
        assert isinstance(model, type) and issubclass(model, Section)
        for name, field in model.model_fields.items():
            extra = field.json_schema_extra
            if not isinstance(extra, dict) or extra.get("entry_point", entry_point) == entry_point:
                yield section, name, field


def section_fields(entry_point: str) -> dict[str, tuple[str, str, Any]]:
    """Kebab-case name -> (section key, description, annotation) of an entry point's parameters."""
    return {
        kebab(name): (
            Parameters.model_fields[section].alias or section,
            " ".join((field.description or "").split()),
            field.annotation,
        )
        for section, name, field in _taken(entry_point)
    }
