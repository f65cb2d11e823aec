# The image of docs/cluster.md, with everything for `deep-rnn` on processors:
#   docker build -t keras-deep-rnn .
#   docker run --rm -v "$PWD:/work" keras-deep-rnn deep-rnn train --data bach_chorales
# For another backend, or GPUs: --build-arg EXTRAS=cli,data,music,tuning,cluster,plots,jax-gpu
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
# The image has no git to ask: --build-arg VERSION=0.2.0 for a release.
ARG VERSION=
COPY . /source
RUN SETUPTOOLS_SCM_PRETEND_VERSION_FOR_KERAS_DEEP_RNN="${VERSION}" \
    pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM python:${PYTHON}-slim
ARG EXTRAS=tensorflow-cpu,cli,data,music,tuning,cluster,serving,plots
# KubeRay's probes of a container call wget.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
# tensorflow-serving-api would require `tensorflow` beside tensorflow-cpu.
RUN pip install --no-cache-dir "$(ls /wheels/*.whl)[${EXTRAS}]" 'ray[default]>=2.60' \
    && pip install --no-cache-dir --no-deps 'tensorflow-serving-api>=2.21'
RUN useradd --create-home --uid 1000 ray && mkdir /work && chown ray /work
USER ray
WORKDIR /work
CMD ["deep-rnn", "--help"]
