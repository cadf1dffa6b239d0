# How every target of the tree is made, so that a folder's CMakeLists.txt only names its parts.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(weir_flags INTERFACE)
target_compile_definitions(weir_flags INTERFACE _GNU_SOURCE WEIR_VERSION="${PROJECT_VERSION}")
target_include_directories(weir_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/include)
target_compile_options(weir_flags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wswitch-enum -Wformat=2 -Wundef)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # Cutting is what snprintf is for here; whether gcc sees that it may depends on its inlining.
    target_compile_options(weir_flags INTERFACE -Wno-format-truncation)
endif()
if(WEIR_WERROR)
    target_compile_options(weir_flags INTERFACE -Werror)
endif()
if(WEIR_SANITIZE)
    target_compile_options(weir_flags INTERFACE -fsanitize=${WEIR_SANITIZE} -fno-omit-frame-pointer
        -fno-sanitize-recover=all)
    target_link_options(weir_flags INTERFACE -fsanitize=${WEIR_SANITIZE})
endif()
if(WEIR_COVERAGE)
    target_compile_options(weir_flags INTERFACE --coverage)
    target_link_options(weir_flags INTERFACE --coverage)
endif()
if(WEIR_FUZZ)
    target_compile_options(weir_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(weir_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
        -fstack-protector-strong)
endif()

# weir_library(NAME SOURCES a.c b.c LINK lower_floor_target …): one folder, one static library.
function(weir_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_library(${name} STATIC ${ARG_SOURCES})
    target_link_libraries(${name} PUBLIC weir_flags ${ARG_LINK})
endfunction()

# weir_headers(NAME LINK …): a folder that holds headers only.
function(weir_headers name)
    cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE weir_flags ${ARG_LINK})
endfunction()

# weir_program(NAME SOURCES … LINK …)
function(weir_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE weir_flags ${ARG_LINK})
endfunction()

# weir_test(NAME SOURCES … LINK … LABELS unit …): a cmocka program that ctest runs.
function(weir_test name)
    cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;LABELS;ARGUMENTS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE weir_flags ${ARG_LINK} PkgConfig::CMOCKA)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME ${name} COMMAND ${name} ${ARG_ARGUMENTS})
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 120)
    endif()
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
        SKIP_RETURN_CODE 77)
endfunction()

# weir_python_test(NAME SOURCE file.py LABELS integration … [TIMEOUT seconds] [SERIAL]): a test of
# real processes, written with tests/integration/harness; run with Debian's own Python.
function(weir_python_test name)
    cmake_parse_arguments(ARG "SERIAL" "SOURCE;TIMEOUT" "LABELS" ${ARGN})
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 180)
    endif()
    add_test(NAME ${name} COMMAND /usr/bin/python3 -B ${ARG_SOURCE}
        WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
        SKIP_RETURN_CODE 77
        ENVIRONMENT "WEIR_BUILD=${CMAKE_BINARY_DIR};WEIR_SANITIZE=${WEIR_SANITIZE};PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/integration")
    if(ARG_SERIAL)
        set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
    endif()
endfunction()

# weir_fuzz(NAME SOURCES … LINK … CORPUS dir): a libFuzzer target in the fuzz preset, and everywhere a
# plain test that feeds it the corpus.
function(weir_fuzz name)
    cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    target_link_libraries(${name} PRIVATE weir_flags ${ARG_LINK})
    if(WEIR_FUZZ)
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        add_test(NAME ${name} COMMAND ${name} -runs=0 ${ARG_CORPUS})
    else()
        target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
        add_test(NAME ${name} COMMAND ${name} ${ARG_CORPUS})
    endif()
    set_tests_properties(${name} PROPERTIES LABELS fuzz TIMEOUT 120)
endfunction()

# weir_bench(NAME SOURCES … LINK …): a program that tools/bench runs; prints one JSON object a row:
# {"name", "ours", "peer", "peer_name", "unit", "ratio", "budget", "holds"}.
function(weir_bench name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE weir_flags ${ARG_LINK})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
endfunction()

# weir_postgres_test(NAME SOURCES … LINK … LABELS integration A1 …): a cmocka program that is run beside
# a PostgreSQL of its own, which it finds through libpq's variables.
function(weir_postgres_test name)
    cmake_parse_arguments(ARG "SERIAL" "TIMEOUT" "SOURCES;LINK;LABELS;ARGUMENTS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE weir_flags ${ARG_LINK} PkgConfig::CMOCKA)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    if(NOT ARG_TIMEOUT)
        set(ARG_TIMEOUT 180)
    endif()
    add_test(NAME ${name} COMMAND /usr/bin/python3 -B
        ${CMAKE_SOURCE_DIR}/tests/integration/run_with_postgres.py $<TARGET_FILE:${name}>
        ${ARG_ARGUMENTS})
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
        SKIP_RETURN_CODE 77
        ENVIRONMENT "WEIR_BUILD=${CMAKE_BINARY_DIR};PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/integration")
    if(ARG_SERIAL)
        set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
    endif()
endfunction()
