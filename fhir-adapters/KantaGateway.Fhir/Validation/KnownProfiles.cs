using System.Collections.Frozen;
using Firely.Fhir.Validation;
using Hl7.Fhir.Model;
using Hl7.Fhir.Specification.Terminology;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;

namespace KantaGateway.Fhir.Validation;

/// <summary>A profile that is enforced where a resource claims it.</summary>
/// <param name="Url">Canonical address, without version.</param>
/// <param name="Version">The one version that is known.</param>
/// <param name="Type">Resource type that it constrains.</param>
public sealed record KnownProfile(string Url, string Version, string Type)
{
    /// <summary>Types that references may be to, where they are fewer than those of <see cref="Type"/>; by the element's path.</summary>
    internal FrozenDictionary<string, FrozenSet<string>> Targets { get; init; } = FrozenDictionary<string, FrozenSet<string>>.Empty;
}

/// <summary>
/// The profiles that the gateway knows, the Finnish Base Profiles and R4's own (vital signs and others), and Firely's validator
/// over them. Thread-safe.
/// </summary>
/// <remarks>
/// The validator reads the whole R4 specification: a second or two of work, for which the hosts wait before they listen
/// (<see cref="PrepareAsync"/>). There is one validator in a process, kept to its end.
/// </remarks>
public static class KnownProfiles
{
    private static readonly FrozenDictionary<string, KnownProfile> ByUrl = BaseRules.KnownProfiles.ToFrozenDictionary(p => p.Url, StringComparer.Ordinal);

    private static readonly Lazy<Validator> Validator = new(Load);

    private static readonly Lazy<System.Threading.Tasks.Task> Prepared = new(() => System.Threading.Tasks.Task.Factory.StartNew(() => _ = Validator.Value, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default));

    /// <summary>In the order of their addresses.</summary>
    public static IReadOnlyList<KnownProfile> All { get; } = [.. ByUrl.Values.OrderBy(p => p.Url, StringComparer.Ordinal)];

    /// <summary>The profile that a <c>meta.profile</c> names.</summary>
    /// <param name="canonical">With or without <c>|version</c>.</param>
    /// <returns>Null when it is none of ours, or another version.</returns>
    public static KnownProfile? Find(string? canonical)
    {
        if (canonical is null)
            return null;
        var (url, version) = KnownDefinitions.Split(canonical);
        return ByUrl.TryGetValue(url, out var profile) && (version is null || version == profile.Version) ? profile : null;
    }

    /// <summary>Has the validator ready before somebody needs it.</summary>
    /// <returns>Completes when it is; at once when it has been.</returns>
    public static System.Threading.Tasks.Task PrepareAsync() => Prepared.Value;

    /// <summary>What Firely's validator says of a resource, by the base specification and the known profiles that it claims.</summary>
    /// <param name="profile">A further profile to hold it to; null: none.</param>
    /// <param name="root">FHIRPath of the resource in a larger body; null: its type.</param>
    /// <returns>Errors, warnings and information, in our own words: its messages quote values.</returns>
    internal static IEnumerable<FaultIssue> Check(Resource resource, KnownProfile? profile = null, string? root = null)
    {
        List<OperationOutcome.IssueComponent> issues;
        try
        {
            issues = Validator.Value.Validate(resource, profile?.Url).Issue;
        }
        catch (UriFormatException)
        {
            // It follows references, and stumbles over one that is no URL.
            return References.Of(resource, root).Where(r => !Uri.TryCreate(r.Element.Reference, UriKind.RelativeOrAbsolute, out _)).Select(r => r.Expression)
                .DefaultIfEmpty(root ?? resource.TypeName).Select(place => new FaultIssue("The reference is neither Type/id nor a URL.", place, "value"));
        }
        return Describe(issues, resource, root);
    }

    private static IEnumerable<FaultIssue> Describe(List<OperationOutcome.IssueComponent> issues, Resource resource, string? root)
    {
        foreach (var issue in issues)
        {
            var place = ElementExpression.Clean(issue.Expression.Concat(issue.Location).FirstOrDefault(), resource.TypeName);
            if (place is not null)
                place = WithoutNeedlessIndices(place, resource);
            if (root is not null && place is not null && place.StartsWith(resource.TypeName, StringComparison.Ordinal))
                place = root + place[resource.TypeName.Length..];
            yield return FirelyIssues.Describe(issue, place);
        }
    }

    /// <summary>Firely's validator gives every step an index; elsewhere only repeating elements have one.</summary>
    private static string WithoutNeedlessIndices(string expression, Base resource)
    {
        var steps = expression.Split('.');
        var at = (Base?)resource;
        for (var i = 1; i < steps.Length && at is not null; i++)
        {
            var bracket = steps[i].IndexOf('[');
            var name = bracket < 0 ? steps[i] : steps[i][..bracket];
            at.TryGetValue(name, out var value);
            if (value is IReadOnlyList<Base> items)
                at = bracket > 0 && int.TryParse(steps[i].AsSpan()[(bracket + 1)..^1], out var index) && index < items.Count ? items[index] : null;
            else
                (steps[i], at) = (name, value as Base);
        }
        return string.Join('.', steps);
    }

    private static Validator Load()
    {
        var source = KnownDefinitions.OpenWithSnapshots();
        var validator = new Validator(source, LocalTerminologyService.CreateDefaultForCore(source), null, new ValidationSettings
        {
            // Others are told of by the policy of the client, not by trying to find them.
#pragma warning disable CS0618 // Its successor is asked about extensions too, and those are to be followed.
            SelectMetaProfiles = (_, claimed) => [.. claimed.Where(c => Find((string)c) is not null)],
#pragma warning restore CS0618
        });
        validator.Validate(new Patient());
        return validator;
    }
}
