# The normalizer beside PostgreSQL's own scanner, whose archive stays inside an object of its own,
# and beside what a real server keeps of its statements.
add_library(normalize_scanner SHARED ${CMAKE_CURRENT_LIST_DIR}/normalize_scanner.c)
target_link_libraries(normalize_scanner PRIVATE weir_flags ${LIBPG_QUERY_ARCHIVE} m Threads::Threads)
target_link_options(normalize_scanner PRIVATE
    -Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/normalize_scanner.map -Wl,--exclude-libs,ALL
    -Wl,--gc-sections)
set_target_properties(normalize_scanner PROPERTIES
    LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/normalize_scanner.map
    LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
weir_test(contract_normalize_scanner
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/normalize_contract.c ${CMAKE_CURRENT_LIST_DIR}/normalize_corpus.c
    LINK weir_normalize normalize_scanner LABELS contract TIMEOUT 300)

add_executable(normalize_lines ${CMAKE_CURRENT_LIST_DIR}/normalize_lines.c)
target_link_libraries(normalize_lines PRIVATE weir_normalize)
set_target_properties(normalize_lines PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
weir_python_test(contract_normalize_statements
    SOURCE ${CMAKE_CURRENT_LIST_DIR}/normalize_statements.py LABELS contract)
weir_python_test(contract_normalize_vectors
    SOURCE ${CMAKE_CURRENT_LIST_DIR}/normalize_vectors.py LABELS contract)
weir_python_test(contract_normalize_reference
    SOURCE ${CMAKE_CURRENT_LIST_DIR}/normalize_reference.py LABELS contract)
