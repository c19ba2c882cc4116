using Hl7.Fhir.Model;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Fhir.Validation;

/// <summary>What becomes of a resource that claims a profile which is not known here; a policy of each client.</summary>
public enum UnknownProfiles
{
    /// <summary>It is refused.</summary>
    Refuse = 0,

    /// <summary>It is accepted, and the sender is told that the profile was not enforced.</summary>
    Accept = 1,
}

/// <summary>How a sender is told of claims that were accepted and not enforced.</summary>
public static class UnenforcedProfiles
{
    /// <summary>Header of an answer to a write: their number.</summary>
    public const string Header = "X-Unenforced-Profiles";
}

/// <summary>Validates parsed resources before they are stored. Stateless; thread-safe.</summary>
public static class ResourceValidator
{
    /// <summary>Checks one resource against the base specification and the profiles in its <c>meta.profile</c>.</summary>
    /// <param name="resource">From <see cref="ResourceParser"/>, which has proved structure, cardinality, types and code bindings.</param>
    /// <param name="unknown">Policy of the client.</param>
    /// <param name="issues">Gets errors, and warnings about what was accepted unchecked; at most <see cref="ResourceParser.MaxIssues"/>.</param>
    /// <param name="root">FHIRPath of the resource in a larger body; null: its type.</param>
    /// <param name="entries">From <c>fullUrl</c> to type, of the entries of the Bundle around it; null: none.</param>
    public static void Check(Resource resource, UnknownProfiles unknown, List<FaultIssue> issues, string? root = null, IReadOnlyDictionary<string, string>? entries = null)
    {
        BaseRules.Check(resource, issues, root, entries, Claimed(resource));
        var isClaimed = CheckClaims(resource, unknown, issues, root);
        if (resource is DomainResource domain)
            for (var i = 0; i < domain.Contained.Count; i++)
                isClaimed |= CheckClaims(domain.Contained[i], unknown, issues, $"{root ?? resource.TypeName}.contained[{i}]");
        if (isClaimed && !issues.Exists(i => i.Severity == FaultSeverity.Error))
            Add(issues, KnownProfiles.Check(resource, null, root).Where(i => i.Severity == FaultSeverity.Error));
    }

    /// <summary>The profiles that a Bundle of requests claims. None that is known here is one of Bundles, so none can be held to.</summary>
    /// <param name="claimed">Its <c>meta.profile</c>.</param>
    public static void CheckBundle(IEnumerable<string?> claimed, UnknownProfiles unknown, List<FaultIssue> issues)
    {
        foreach (var (index, profile) in claimed.Index())
            Add(issues, [KnownProfiles.Find(profile) is { } known
                ? new($"The profile is one of {known.Type}, not of Bundle. Leave it out of meta.profile.", $"Bundle.meta.profile[{index}]", "invalid")
                : Unknown(unknown, $"Bundle.meta.profile[{index}]")]);
    }

    /// <summary>Everything that can be said of one resource, warnings too; for <c>$validate</c>.</summary>
    /// <param name="profile">A further profile to hold it to.</param>
    public static void CheckFully(Resource resource, UnknownProfiles unknown, KnownProfile? profile, List<FaultIssue> issues, string? root = null)
    {
        BaseRules.Check(resource, issues, root, profiles: profile is null ? Claimed(resource) : [.. Claimed(resource), profile]);
        CheckClaims(resource, unknown, issues, root);
        Add(issues, KnownProfiles.Check(resource, profile, root));
    }

    /// <summary>The known profiles that a resource claims.</summary>
    private static List<KnownProfile> Claimed(Resource resource) => [.. resource.Meta?.Profile.Select(KnownProfiles.Find).OfType<KnownProfile>() ?? []];

    private static bool CheckClaims(Resource resource, UnknownProfiles unknown, List<FaultIssue> issues, string? root)
    {
        if (resource.Meta is not { } meta)
            return false;
        var isClaimed = false;
        var index = 0;
        foreach (var claimed in meta.Profile)
        {
            if (KnownProfiles.Find(claimed) is not null)
                isClaimed = true;
            else
                Add(issues, [Unknown(unknown, $"{root ?? resource.TypeName}.meta.profile[{index}]")]);
            index++;
        }
        return isClaimed;
    }

    private static FaultIssue Unknown(UnknownProfiles policy, string expression) => new(policy == UnknownProfiles.Refuse
            ? "The profile is not known here, and this client may only claim profiles that are. Leave it out of meta.profile, or have the client's policy changed."
            : "The profile is not known here: the resource was checked against the base specification only.",
        expression, "not-supported")
    {
        Severity = policy == UnknownProfiles.Refuse ? FaultSeverity.Error : FaultSeverity.Warning,
        Message = policy == UnknownProfiles.Refuse ? "profile-refused" : "profile-not-enforced",
    };

    private static void Add(List<FaultIssue> issues, IEnumerable<FaultIssue> further)
    {
        foreach (var issue in further)
            if (issues.Count < ResourceParser.MaxIssues && !issues.Exists(i => i.Diagnostics == issue.Diagnostics && i.Expression == issue.Expression))
                issues.Add(issue);
    }
}
