weir_test(stress_lane SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/lane_stress.c LINK weir_wire_reader Threads::Threads
    LABELS stress TIMEOUT 300)
