# Training: no Dlib, no OpenCV.  docker build -f docker/train.Dockerfile -t mol-train .
# A plain base: the wheel of torch brings the CUDA libraries that it was tested with, so that a
# base of nvidia/cuda would hold them twice. The host needs its driver and the NVIDIA Container
# Toolkit:  docker run --gpus all mol-train ...
# The base is pinned by tag; prep.Dockerfile says how to pin its digest as well.
FROM python:3.11.14-slim-bookworm AS builder
WORKDIR /source
RUN python -m venv /opt/mol
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY mol_pipeline mol_pipeline
COPY mol_model mol_model
COPY pipelines pipelines
RUN /opt/mol/bin/pip install --no-cache-dir --no-compile -c constraints.txt '.[train]' \
    && /opt/mol/bin/pip uninstall --yes pip

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="moltrain" \
      org.opencontainers.image.description="Trains and evaluates MOL on shards of molprep" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --uid 1000 mol && install -d -o mol -g mol /mol
COPY --from=builder /opt/mol /opt/mol
# The NVIDIA Container Toolkit gives a container the driver's compute library and nvidia-smi.
ENV PATH="/opt/mol/bin:$PATH" \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000:1000
WORKDIR /mol
HEALTHCHECK --interval=5m --timeout=60s CMD ["python", "-c", "import torch, h5py, hdf5plugin"]
ENTRYPOINT ["moltrain"]
CMD ["--help"]
