# Preparation: CPU, no torch.  docker build -f docker/prep.Dockerfile -t mol-prep .
# The base is pinned by tag. For a build that stays the same, pin its digest as well:
#   docker pull python:3.11.14-slim-bookworm; docker inspect --format '{{index .RepoDigests 0}}' ...
FROM python:3.11.14-slim-bookworm AS builder
WORKDIR /source
RUN python -m venv /opt/mol
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY mol_pipeline mol_pipeline
COPY mol_model mol_model
COPY pipelines pipelines
RUN /opt/mol/bin/pip install --no-cache-dir --no-compile -c constraints.txt '.[prep,fast,cluster]' \
    && /opt/mol/bin/pip uninstall --yes pip

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="molprep" \
      org.opencontainers.image.description="Micro-expression databases into HDF5 shards" \
      org.opencontainers.image.licenses="Apache-2.0"
# libgl1 and libglib2.0-0: the plain OpenCV wheel links them. No versions: Debian removes a
# version from its mirrors when a security fix replaces it.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 mol \
    && install -d -o mol -g mol /mol
COPY --from=builder /opt/mol /opt/mol
ENV PATH="/opt/mol/bin:$PATH"
# By number: hosts that forbid root in images cannot look up a name.
USER 1000:1000
WORKDIR /mol
HEALTHCHECK --interval=5m --timeout=30s CMD ["python", "-c", "import cv2, dlib, h5py, distributed"]
ENTRYPOINT ["molprep"]
CMD ["--help"]
