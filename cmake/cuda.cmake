# CUDA is a language of the build where its compiler is found; TANDEM_WITH_CUDA says whether it is. Elsewhere, and with
# -DTANDEM_CUDA=OFF, the folders no_cuda/ are linked in place of cuda/.
option(TANDEM_CUDA "Build the CUDA device where the toolkit is found" ON)
set(TANDEM_WITH_CUDA OFF)

# The sanitizers and the driver want the same addresses; kernels run under them in tests/simt.
if(TANDEM_CUDA AND NOT TANDEM_SANITIZE)
  find_program(TANDEM_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin)
  if(TANDEM_NVCC AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    set(ENV{CUDACXX} ${TANDEM_NVCC})
  endif()
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90)  # 90: machine code and PTX, which later cards compile
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
      message(STATUS "CUDA ${CMAKE_CUDA_COMPILER_VERSION} is older than 12.4: building without CUDA")
    else()
      find_package(CUDAToolkit)
      if(TARGET CUDA::cublasLt AND TARGET CUDA::cudart_static)
        set(TANDEM_WITH_CUDA ON)
      else()
        message(STATUS "nvcc is here but cuBLAS is not: building without CUDA")
      endif()
    endif()
  endif()
endif()

if(TANDEM_WITH_CUDA)
  set(CMAKE_CUDA_STANDARD 20)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # older CMakes do not know that this compiler has it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  if(TANDEM_CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${TANDEM_CCACHE})
  endif()
  message(STATUS "CUDA ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
else()
  message(STATUS "Without CUDA: device cuda will be refused at run time")
endif()

# Only NCCL's header is needed to build; the library is opened when ranks have GPUs of their own. tests/simt runs the
# same sources without CUDA.
find_path(TANDEM_NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} /usr/local/cuda/include)
set(TANDEM_WITH_NCCL OFF)
if(TANDEM_WITH_CUDA AND TANDEM_NCCL_INCLUDE_DIR)
  set(TANDEM_WITH_NCCL ON)
elseif(TANDEM_WITH_CUDA)
  message(STATUS "No nccl.h (package libnccl-dev): GPUs will exchange tensors by way of the host")
endif()

# cuDNN likewise: its headers, and its header-only frontend, which tools/setup/cudnn_frontend.sh fetches into
# build/cudnn-frontend. Without them runtime/kernels/cuda/no_cudnn is built, and attention runs on Tandem's own kernels.
find_path(TANDEM_CUDNN_INCLUDE_DIR cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} /usr/local/cuda/include)
find_path(TANDEM_CUDNN_FRONTEND_INCLUDE_DIR cudnn_frontend.h HINTS ${CMAKE_SOURCE_DIR}/build/cudnn-frontend/include)
set(TANDEM_WITH_CUDNN OFF)
set(TANDEM_CUDNN_BUILD "")  # what `trainer --version` says after CUDA's version
if(TANDEM_WITH_CUDA)
  set(TANDEM_CUDNN_BUILD ", no cuDNN")
endif()
if(TANDEM_WITH_CUDA AND NOT TANDEM_CUDNN_INCLUDE_DIR)
  message(STATUS "No cuDNN headers (package cudnn9-cuda-13 or nvidia-cudnn): attention will run on Tandem's own kernels")
elseif(TANDEM_WITH_CUDA AND NOT TANDEM_CUDNN_FRONTEND_INCLUDE_DIR)
  message(WARNING "cuDNN is here but its frontend is not: attention will run on Tandem's own kernels. "
                  "tools/setup/cudnn_frontend.sh fetches it; then configure again")
elseif(TANDEM_WITH_CUDA)
  set(TANDEM_WITH_CUDNN ON)
  foreach(part MAJOR MINOR PATCHLEVEL)
    file(STRINGS ${TANDEM_CUDNN_INCLUDE_DIR}/cudnn_version.h line REGEX "#define CUDNN_${part} +[0-9]+")
    string(REGEX MATCH "[0-9]+" number "${line}")
    list(APPEND cudnn_numbers ${number})
  endforeach()
  list(JOIN cudnn_numbers . cudnn_version)
  set(TANDEM_CUDNN_BUILD ", cuDNN ${cudnn_version}")
endif()
