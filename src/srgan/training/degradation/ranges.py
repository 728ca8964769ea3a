"""Types of the settings of wear: chances, shares, and ranges that a strength is drawn from."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

_Number = TypeVar("_Number", int, float)


def _rising(bounds: tuple[_Number, _Number]) -> tuple[_Number, _Number]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the range from {bounds[0]:g} to {bounds[1]:g} is empty: put the smaller number first")
    return bounds


Chance = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0)]
_Sigma = Annotated[float, Field(gt=0, le=10)]
_Exponent = Annotated[float, Field(gt=0, le=10)]
_Factor = Annotated[float, Field(ge=0.1, le=4)]
_Strength = Annotated[float, Field(ge=0, le=100)]
_Quality = Annotated[int, Field(ge=1, le=100)]
_Side = Annotated[int, Field(ge=3, le=21)]
_Quantiser = Annotated[int, Field(ge=1, le=31)]
_QuantiserH264 = Annotated[int, Field(ge=0, le=51)]
_Count = Annotated[int, Field(ge=1, le=1 << 20)]
_Small = Annotated[float, Field(ge=0, le=64)]
_Frames = Annotated[int, Field(ge=1, le=8)]
Sigmas = Annotated[tuple[_Sigma, _Sigma], AfterValidator(_rising)]
Exponents = Annotated[tuple[_Exponent, _Exponent], AfterValidator(_rising)]
Factors = Annotated[tuple[_Factor, _Factor], AfterValidator(_rising)]
Strengths = Annotated[tuple[_Strength, _Strength], AfterValidator(_rising)]
Qualities = Annotated[tuple[_Quality, _Quality], AfterValidator(_rising)]
Sides = Annotated[tuple[_Side, _Side], AfterValidator(_rising)]
Quantisers = Annotated[tuple[_Quantiser, _Quantiser], AfterValidator(_rising)]
QuantisersH264 = Annotated[tuple[_QuantiserH264, _QuantiserH264], AfterValidator(_rising)]
Frames = Annotated[tuple[_Frames, _Frames], AfterValidator(_rising)]
Small = Annotated[tuple[_Small, _Small], AfterValidator(_rising)]
Counts = Annotated[tuple[_Count, _Count], AfterValidator(_rising)]
