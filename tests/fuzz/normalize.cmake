weir_fuzz(fuzz_normalize SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_normalize.c LINK weir_normalize
    CORPUS ${CMAKE_CURRENT_LIST_DIR}/corpus/normalize)
