# steepest in a container. For the CPU:
#   docker build -t steepest .
# For NVIDIA GPUs. PyTorch's build is named, because a build of an image sees no GPU, so TORCH=auto would choose the CPU:
#   docker build -t steepest --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 --build-arg TORCH=cu130 .
#   docker run --rm --gpus all -v "$PWD:/work" steepest train model=mlp trainer=gpu
# The working folder is /work: docker run --rm -v "$PWD:/work" steepest train model=mlp
# TensorBoard: docker run --rm -v "$PWD:/work" -p 6006:6006 steepest board --host 0.0.0.0
ARG BASE=python:3.12-slim
FROM ${BASE}
ARG TORCH=cpu
COPY --from=ghcr.io/astral-sh/uv:0.13 /uv /usr/local/bin/uv
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
# The kernel is compiled into the package's folder. A user other than root (docker run --user) can use it, and can write
# a list of trusted folders.
ENV XDG_CACHE_HOME=/opt/cache XDG_CONFIG_HOME=/opt/config
RUN mkdir -p -m 777 /opt/cache /opt/config \
    && python -m steepest.engine float32 && python -m steepest.engine float64 \
    && chmod -R a+rwX "$(python -c 'import steepest.engine; print(steepest.engine.__path__[0])')/__pycache__"
WORKDIR /work
EXPOSE 6006
ENTRYPOINT ["steepest"]
CMD ["--help"]
