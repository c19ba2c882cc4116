using Xunit.Abstractions;

[assembly: TestCollectionOrderer("KantaGateway.Tests.LongestFirst", "KantaGateway.Tests")]

namespace KantaGateway.Tests;

/// <summary>What takes longest begins first, so that no long collection is left for the end, alone on one core. The rest keeps its order.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    /// <summary>Ends of the names of collections, longest first: a collection of its own is named after its class. <c>infra/test.sh</c> lists what took longest.</summary>
    private static readonly string[] Long =
    [
        ".Scenarios.CrashTests", Identification.IdentificationCollection.Name, ".Scenarios.RestoreTests", Identification.OperatorsCollection.Name, Identification.SignInCollection.Name,
        ".PostgresStoreAttackTests", ".FullDiskTests", ".LiveProbeTests", ".NoSecondRoadMatrixTests", ".PostgresFaultTests", ".DenialHammerTests", ".WithheldMatrixTests",
    ];

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) => testCollections.OrderBy(RankOf);

    private static int RankOf(ITestCollection collection)
    {
        var at = Array.FindIndex(Long, end => collection.DisplayName.EndsWith(end, StringComparison.Ordinal));
        return at < 0 ? Long.Length : at;
    }
}
