# Parquet is read where Apache Arrow's libparquet is found: the system's, or what tools/setup/parquet.sh fetched into
# build/arrow. TANDEM_WITH_PARQUET says whether it is, tandem_parquet_library is what to link. Elsewhere, and with
# -DTANDEM_PARQUET=OFF, the folder data/no_parquet is built in place of data/parquet.
option(TANDEM_PARQUET "Read Parquet where Apache Arrow is found" ON)
set(TANDEM_WITH_PARQUET OFF)

if(TANDEM_PARQUET)
  find_path(TANDEM_ARROW_INCLUDE parquet/arrow/reader.h HINTS ${CMAKE_SOURCE_DIR}/build/arrow/include)
  find_library(TANDEM_ARROW arrow HINTS ${CMAKE_SOURCE_DIR}/build/arrow/lib)
  find_library(TANDEM_LIBPARQUET parquet HINTS ${CMAKE_SOURCE_DIR}/build/arrow/lib)
  if(TANDEM_ARROW_INCLUDE AND TANDEM_ARROW AND TANDEM_LIBPARQUET)
    set(TANDEM_WITH_PARQUET ON)
    add_library(tandem_parquet_library INTERFACE)
    target_include_directories(tandem_parquet_library SYSTEM INTERFACE ${TANDEM_ARROW_INCLUDE})
    target_link_libraries(tandem_parquet_library INTERFACE ${TANDEM_LIBPARQUET} ${TANDEM_ARROW})
  else()
    message(STATUS "no libparquet: building without Parquet (tools/setup/parquet.sh fetches it)")
  endif()
endif()
