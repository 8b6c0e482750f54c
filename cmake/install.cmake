# Headers, the four libraries, plugins, the door, a pkg-config file and a CMake package.
install(DIRECTORY include/wick TYPE INCLUDE)
if(WICK_ENGINE)
  set(engine wick wickrun)
endif()
install(TARGETS wicklaunch wickapp ${engine} EXPORT wick-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS wick_door RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(plugin IN ITEMS wick_http wick_mpi wick_cairo wick_cudaemu wick_cuda)
  if(TARGET ${plugin})
    install(TARGETS ${plugin} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/wick)
  endif()
endforeach()
if(WICK_TUNING_TABLES)
  install(FILES ${WICK_TUNING_TABLES} DESTINATION ${CMAKE_INSTALL_LIBDIR}/wick/tuning)
endif()
# The prefix is taken from where the file lies, so that an installed tree can be moved.
configure_file(cmake/wick.pc.in wick.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/wick.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(EXPORT wick-targets NAMESPACE wick:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/wick)
configure_package_config_file(cmake/wick-config.cmake.in wick-config.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/wick)
write_basic_package_version_file(wick-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/wick-config.cmake ${PROJECT_BINARY_DIR}/wick-config-version.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/wick)
