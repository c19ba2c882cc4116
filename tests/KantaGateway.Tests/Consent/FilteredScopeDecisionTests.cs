using KantaGateway.Gateway.Consent;

namespace KantaGateway.Tests.Consent;

/// <summary>What scopes with search parameters narrow, by the letters that an interaction needs.</summary>
public sealed class FilteredScopeDecisionTests
{
    [Theory]
    [InlineData("system/*.cruds", "Observation s", "")]
    [InlineData("system/Observation.rs?status=final", "Observation s", "Observation<status=final")]
    [InlineData("system/Observation.rs?status=final", "Observation r", "Observation<status=final")]
    [InlineData("system/Observation.rs?status=final system/Observation.rs?code=1", "Observation s", "Observation<code=1\nstatus=final")]
    // By another scope all of them.
    [InlineData("system/Observation.rs?status=final system/Observation.s", "Observation s", "")]
    [InlineData("system/Observation.rs?status=final system/Observation.s", "Observation r", "Observation<status=final")]
    [InlineData("system/Observation.rs?status=final system/*.rs", "Observation r", "")]
    // A scope of another level is none.
    [InlineData("system/Observation.rs?status=final user/Observation.rs", "Observation r", "Observation<status=final")]
    [InlineData("system/Observation.r user/Observation.rs?status=final", "Observation r", "")]
    // What a search meets besides its type.
    [InlineData("system/Encounter.rs system/Observation.rs?status=final", "Encounter s", "Observation<status=final")]
    // What is written, and what is found for it.
    [InlineData("system/Observation.cu?status=final system/Observation.rs", "Observation c", "Observation>status=final")]
    [InlineData("system/Observation.c system/Observation.rs?status=final", "Observation c", "Observation<status=final")]
    [InlineData("system/Observation.cruds?status=final", "Observation u", "Observation>status=final|Observation<status=final")]
    [InlineData("system/Observation.d?status=final", "Observation d", "Observation>status=final")]
    public void Narrows(string scopes, string need, string expected)
    {
        var (type, letter) = (need.Split(' ')[0], need[^1]);
        var kind = letter switch { 'c' => InteractionKind.Create, 'u' => InteractionKind.Update, 'd' => InteractionKind.Delete, 's' => InteractionKind.Search, _ => InteractionKind.Read };
        var requester = ConsentWorld.Requester("system", scopes: scopes.Split(' '));
        var interaction = ConsentWorld.Interaction(kind, type);
        var permit = Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, interaction, PolicySnapshot.Empty));
        Assert.Equal(expected, string.Join('|', permit.Scope.Filters?.Select(f => f.Key) ?? []));
        // The directory beside the record is seen through the same scopes.
        Assert.Equal(expected, string.Join('|', ConsentDecision.DirectoryBeside(requester, interaction).Filters?.Select(f => f.Key) ?? []));
    }

    [Fact]
    public void Of_a_transaction_every_letter_narrows()
    {
        var requester = ConsentWorld.Requester("system", scopes: ["system/Observation.c?status=final", "system/Observation.d?code=1", "system/Observation.rs"]);
        var interaction = ConsentWorld.Interaction(InteractionKind.Transaction, "Observation") with { Needs = [("Observation", 'c'), ("Observation", 'd')] };
        var permit = Assert.IsType<Decision.Permit>(ConsentWorld.Decide(requester, interaction, PolicySnapshot.Empty));
        Assert.Equal(["Observation>status=final", "Observation>code=1"], permit.Scope.Filters!.Select(f => f.Key));
    }
}
