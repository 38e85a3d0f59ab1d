"""What one can choose about training."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from darts_core.segmentation.parameters import Input


class TrainingPatchesParameters(BaseModel):
    """Parameters of `make_training_patches`; sizes in pixels of what the model will see."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bands: list[str] = Field(
        default=["blue", "green", "red", "nir", "ndvi", "relative_elevation", "slope"],
        min_length=1,
        description="Variables of the preprocessed scene in the order of the model's input",
    )
    input: Input = Field(
        default=Input.NATIVE, description="Pixels to train on: the scene's own, or super-resolved ones"
    )
    patch_size: int = Field(default=128, ge=32, le=2048, multiple_of=32, description="Pixels a side of one patch")
    overlap: int = Field(default=32, ge=0, description="Pixels that neighbouring patches share")
    min_slump_pixels: int = Field(default=16, ge=1, description="Slump pixels from which a patch counts as positive")
    negatives: float = Field(default=0.5, ge=0, description="Patches without slumps for each one with slumps")
    max_patches: int = Field(default=1000, ge=2, description="Patches kept at most, over all scenes")
    validation_share: float = Field(default=0.2, gt=0, lt=1, description="Share of the blocks kept for validation")
    block: int = Field(default=2, ge=1, description="Patches a side of one block; a block is not split")
    seed: int = Field(default=0, ge=0, description="Decides which blocks and which patches are taken")


class _FitParameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=200, ge=1, description="Batches to learn from")
    batch_size: int = Field(default=8, ge=1, le=1024, description="Patches in one batch")
    learning_rate: float = Field(default=3e-3, gt=0, le=1, description="Highest learning rate of the one cycle")
    weight_decay: float = Field(default=1e-4, ge=0, description="Weight decay of AdamW")
    seed: int = Field(default=0, ge=0, description="Decides the first weights and the order of the patches")


class TrainSegmentationParameters(_FitParameters):
    """Parameters of `train_segmentation`."""

    name: str = Field(default="small", pattern=r"^[A-Za-z0-9_.-]+$", description="What the model will go by")
    arch: str = Field(default="Unet", description="Architecture of segmentation-models-pytorch")
    encoder_name: str = Field(default="tu-mobilenetv3_small_100", description="Its encoder, trained from scratch")
    decoder_channels: list[int] = Field(
        default=[48, 32, 24, 16, 16], min_length=1, description="Channels of the decoder's stages, of a Unet's kind"
    )
    inference_patch_size: int = Field(
        default=256, ge=32, multiple_of=32, description="Pixels a side of the patches that the model will segment"
    )


class TrainUpscalerParameters(_FitParameters):
    """Parameters of `train_upscaler`."""

    steps: int = Field(default=400, ge=1, description="Batches to learn from")
    name: str = Field(default="small", pattern=r"^[A-Za-z0-9_.-]+$", description="What the model will go by")
    factor: int = Field(default=4, ge=2, le=8, description="Fine pixels along one coarse pixel")
    patch_size: int = Field(default=96, ge=32, le=1024, description="Fine pixels a side of one patch")
    channels: int = Field(default=32, ge=1, le=1024, description="Channels of the hidden layers")
    depth: int = Field(default=4, ge=2, le=32, description="Convolutions; each looks one pixel further")
    validation_share: float = Field(default=0.2, gt=0, lt=1, description="Share of the patches kept for validation")
    max_patches: int = Field(default=2000, ge=2, description="Patches kept at most, over all scenes")
