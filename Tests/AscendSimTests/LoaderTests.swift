import CAscend
import Glibc
import ProgramKit
import TestKit
import Testing

extension SimulatorTests {
    /// Where libraries are looked for. The simulated one stands in for each, under the names of CANN.
    @Suite struct LoaderTests {
        /// Loads with these variables and no others of CANN.
        private func load(_ variables: [String: String]) -> (libraries: asc_libraries, reports: [asc_report]) {
            let names = [
                "LM_ASCEND_LIBRARY", "ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH",
                "ASCEND_CUSTOM_OPP_PATH",
            ]
            let old = names.map { getenv($0).map { String(cString: $0) } }
            defer {
                for (name, value) in zip(names, old) {
                    if let value { setenv(name, value, 1) } else { unsetenv(name) }
                }
            }
            for name in names { unsetenv(name) }
            for (name, value) in variables { setenv(name, value, 1) }
            var libraries = asc_libraries()
            asc_load(&libraries)
            let reports = withUnsafeBytes(of: libraries.reports) { Array($0.bindMemory(to: asc_report.self)) }
            return (libraries, reports)
        }

        private func text(_ report: asc_report) -> String {
            withUnsafeBytes(of: report.text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }

        /// A folder with the simulated library under some names.
        private func folder(_ names: [String]) throws -> TemporaryFolder {
            let folder = try TemporaryFolder()
            for name in names { try folder.link(name, to: Programs.path("libAscendSim.so")) }
            return folder
        }

        @Test func withoutLibrariesItSaysWhatItLookedForAndWhere() {
            let (libraries, reports) = load(["ASCEND_HOME_PATH": "/nowhere/cann"])
            #expect(reports.allSatisfy { !$0.is_found && $0.found == 0 && $0.wanted > 0 })
            #expect(libraries.runtime.aclInit == nil)
            for word in ["libascendcl.so", "libacl_rt.so", "/nowhere/cann/lib64", "No such file"] {
                #expect(text(reports[0]).contains(word))
            }
            #expect(text(reports[2]).contains("libopapi.so"))
        }

        @Test func anOverrideThatCannotBeOpenedIsNamed() {
            let (_, reports) = load(["LM_ASCEND_LIBRARY": "/nowhere/libx.so"])
            #expect(reports.allSatisfy { !$0.is_found })
            #expect(text(reports[0]).hasPrefix("LM_ASCEND_LIBRARY: /nowhere/libx.so"))
        }

        @Test func eightPointOneHasOneLibraryOfOperators() throws {
            let folder = try folder(["lib64/libascendcl.so", "lib64/libnnopbase.so", "lib64/libopapi.so"])
            let root = folder.path
            let (libraries, reports) = load(["ASCEND_HOME_PATH": root])
            #expect(reports.map(\.is_found) == [true, true, true, false, false])
            #expect(text(reports[2]) == "\(root)/lib64/libopapi.so")
            #expect(libraries.runtime.aclInit != nil && libraries.operators.aclnnMm != nil)
            #expect(libraries.collectives.HcclAllReduce == nil)
        }

        @Test func splitLibrariesAreNotMixedWithTheWholeOne() throws {
            let names = ["lib64/libopapi.so", "lib64/libopapi_math.so", "lib64/libopapi_nn.so", "lib64/libacl_rt.so"]
            let folder = try folder(names)
            let root = folder.path
            let (libraries, reports) = load(["ASCEND_HOME_PATH": root])
            #expect(text(reports[2]) == "\(root)/lib64/libopapi_math.so, \(root)/lib64/libopapi_nn.so")
            #expect(text(reports[0]) == "\(root)/lib64/libacl_rt.so")
            #expect(libraries.runtime.aclrtMalloc != nil)
        }

        @Test func operatorsOfOnesOwnComeFirst() throws {
            let own = "opp/vendors/ours/op_api/lib/libcust_opapi.so"
            let folder = try folder([own, "lib64/libopapi_nn.so"])
            let root = folder.path
            let (_, reports) = load(["ASCEND_HOME_PATH": root, "ASCEND_OPP_PATH": root + "/opp"])
            #expect(text(reports[2]) == "\(root)/\(own), \(root)/lib64/libopapi_nn.so")
        }
    }
}
