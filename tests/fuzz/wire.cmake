foreach(part segment frame hello)
    weir_fuzz(fuzz_${part} SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_${part}.c LINK weir_wire_reader
        CORPUS ${CMAKE_CURRENT_LIST_DIR}/corpus/wire_${part})
endforeach()
