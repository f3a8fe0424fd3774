// swift-tools-version: 6.2
import PackageDescription

// The fuzzer, in a package of its own: its compiler flags are no part of the product. It compiles the product's readers
// and the properties of its tests through links to their folders. Run it with scripts/fuzz.

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
    .unsafeFlags(["-sanitize=fuzzer,address"]),
]

let package = Package(
    name: "Fuzz",
    targets: [
        .target(name: "LMProtocol", swiftSettings: settings),
        .target(name: "LMJSON", swiftSettings: settings),
        .target(name: "LMTemplate", dependencies: ["LMJSON"], swiftSettings: settings),
        .target(name: "CKernels"),
        .target(name: "LMEngine", dependencies: ["CKernels", "LMJSON", "LMTemplate"], swiftSettings: settings),
        .target(
            name: "FuzzProperties", dependencies: ["LMProtocol", "LMEngine", "LMJSON", "LMTemplate"],
            swiftSettings: settings),
        .executableTarget(
            name: "lmfuzz", dependencies: ["FuzzProperties"],
            swiftSettings: settings, linkerSettings: [.unsafeFlags(["-sanitize=address", "-use-ld=lld"])]),
    ]
)
