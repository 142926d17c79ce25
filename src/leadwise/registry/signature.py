"""What a registered model says about its requests and answers."""

from typing import TYPE_CHECKING

from leadwise.contract import SUPERCLASSES
from leadwise.serving.payload import FIELDS

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def served_signature() -> "ModelSignature":
    """Columns of a request, each optional and of any JSON type, its parameter, and columns of the answer.

    MLflow's own check of a typed column answers with the whole request in its message, and reads nested lists slowly
    element by element: so ``leadwise.serving.payload`` alone checks.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import (
        AnyType,
        Array,
        ColSpec,
        DataType,
        Object,
        ParamSchema,
        ParamSpec,
        Property,
        Schema,
    )

    def by_class(kind: DataType) -> Object:
        return Object([Property(name, kind) for name in SUPERCLASSES])

    finding = {
        "code": DataType.string,
        "description": DataType.string,
        "group": DataType.string,
        "probability": DataType.double,
        "threshold": DataType.double,
        "reported": DataType.boolean,
    }
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), name, required=False) for name in FIELDS]),
        outputs=Schema(
            [
                ColSpec(DataType.string, "id", required=False),
                ColSpec(DataType.string, "model"),
                ColSpec(by_class(DataType.double), "probabilities"),
                ColSpec(by_class(DataType.boolean), "decisions"),
                ColSpec(by_class(DataType.double), "thresholds"),
                ColSpec(Array(Object([Property(name, kind) for name, kind in finding.items()])), "findings"),
                ColSpec(Array(DataType.string), "warnings"),
                ColSpec(DataType.string, "disclaimer"),
            ]
        ),
        params=ParamSchema([ParamSpec("all_findings", DataType.boolean, False)]),
    )
