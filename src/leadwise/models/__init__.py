"""The networks and their registry; no training code. Importing this package registers the models that come along."""

from leadwise.models.fusion import FUSION, FUSION_AUGMENTED
from leadwise.models.metadata import METADATA_ALONE
from leadwise.models.spec import register_model

for model in (METADATA_ALONE, FUSION, FUSION_AUGMENTED):
    register_model(model)
