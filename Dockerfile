# steepest in a container. For the CPU:
#   docker build -t steepest .
# For NVIDIA GPUs:
#   docker build -t steepest --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg TORCH=auto .
#   docker run --gpus all ...
# The working folder is /work: docker run --rm -v "$PWD:/work" steepest train model=mlp
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG TORCH=cpu
COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /usr/local/bin/uv
ENV UV_PYTHON_INSTALL_DIR=/opt/python VIRTUAL_ENV=/opt/steepest PATH=/opt/steepest/bin:$PATH
RUN uv venv --python 3.12 /opt/steepest
COPY . /source
# The versions of uv.lock, except PyTorch's, whose build depends on the device.
RUN cd /source \
    && uv export --frozen --quiet --no-emit-project --prune torch > /tmp/locked.txt \
    && uv pip install --require-hashes --no-deps -r /tmp/locked.txt \
    && uv pip install --torch-backend=${TORCH} "$(uv export --frozen --quiet --no-emit-project --no-hashes | grep -o '^torch==[^ ;]*')" \
    && uv pip install --no-deps /source \
    && rm -r /source /tmp/locked.txt
# The kernel is compiled into the image, and a user without a home folder can write its list of trusted folders.
ENV XDG_CACHE_HOME=/opt/cache XDG_CONFIG_HOME=/opt/config
RUN mkdir -p -m 777 /opt/cache /opt/config \
    && python -m steepest.engine float32 && python -m steepest.engine float64
WORKDIR /work
EXPOSE 6006
ENTRYPOINT ["steepest"]
CMD ["--help"]
