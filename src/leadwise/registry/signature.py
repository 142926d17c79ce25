"""What a registered model says about its requests and answers."""

from typing import TYPE_CHECKING, Any

from leadwise.contract import SUPERCLASSES
from leadwise.serving.request import FIELDS

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def served_signature() -> "ModelSignature":
    """Columns of a request, each optional and of any JSON type, its parameters, and columns of the answer.

    MLflow's own check of a typed column answers with the whole request in its message, and reads nested lists slowly
    element by element: so ``leadwise.serving.request`` alone checks.
    """
    from mlflow.models import ModelSignature
    from mlflow.types.schema import (
        AnyType,
        Array,
        ColSpec,
        DataType,
        Map,
        Object,
        ParamSchema,
        ParamSpec,
        Property,
        Schema,
    )

    def by_class(kind: DataType) -> Object:
        return Object([Property(name, kind) for name in SUPERCLASSES])

    def listed(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> Array:
        return Array(Object([Property(name, kind, name not in optional) for name, kind in properties.items()]))

    decided = {
        "probabilities": by_class(DataType.double),
        "decisions": by_class(DataType.boolean),
        "uncertain": by_class(DataType.boolean),
    }
    quality = listed({"flag": DataType.string, "leads": Array(DataType.string), "detail": DataType.string})
    window = {"start_s": DataType.double, "end_s": DataType.double, **decided, "quality": quality}
    effects = Map(Map(DataType.double))
    attribution = {
        "data": DataType.string,
        "dtype": DataType.string,
        "shape": Array(DataType.long),
        "order": DataType.string,
        "fs_hz": DataType.double,
    }
    explanation = {
        "method": DataType.string,
        "effects": effects,
        "attribution": Object([Property(name, kind) for name, kind in attribution.items()]),
    }
    error = {"code": DataType.string, "field": DataType.string, "message": DataType.string, "row": DataType.long}
    finding = {
        "code": DataType.string,
        "description": DataType.string,
        "group": DataType.string,
        "probability": DataType.double,
        "threshold": DataType.double,
        "reported": DataType.boolean,
    }
    # All but the id are absent where there is an error.
    answer: dict[str, Any] = {
        "model": DataType.string,
        "registered_model": DataType.string,
        "version": DataType.string,
        "policy": DataType.string,
        **decided,
        "thresholds": by_class(DataType.double),
        "findings": listed(finding),
        "windows": listed(window, tuple(decided)),
        "explanations": Map(Object([Property(name, kind) for name, kind in explanation.items()])),
        "quality": quality,
        "warnings": Array(DataType.string),
        "disclaimer": DataType.string,
        "error": Object([Property(name, kind) for name, kind in error.items()]),
    }
    return ModelSignature(
        inputs=Schema([ColSpec(AnyType(), name, required=False) for name in FIELDS]),
        outputs=Schema(
            [
                ColSpec(AnyType(), "id", required=False),
                *(ColSpec(kind, name, required=False) for name, kind in answer.items()),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec("policy", DataType.string, None),
                ParamSpec("explain", DataType.string, [], (-1,)),
                ParamSpec("all_findings", DataType.boolean, False),
                ParamSpec("as_json", DataType.boolean, False),
            ]
        ),
    )
