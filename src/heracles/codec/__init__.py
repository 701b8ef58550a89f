"""What travels: arguments checked and encoded by their annotations, results, and the text of errors. No pickle.

- ``signature`` reads parameters and binds arguments to them,
- ``fidelity`` says whether what arrives is what was given,
- ``spec`` encodes and decodes the arguments of one job,
- ``outcome`` does the same for results and errors.
"""

from heracles.codec.outcome import ResultSpec, decode_plain, encode_result, error_text
from heracles.codec.signature import Source
from heracles.codec.spec import CallSpec

__all__ = ["CallSpec", "ResultSpec", "Source", "decode_plain", "encode_result", "error_text"]
