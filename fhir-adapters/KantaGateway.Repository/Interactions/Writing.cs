using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Formats;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Protection;
using KantaGateway.Fhir.Validation;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Interactions;

/// <summary>What became of one operation.</summary>
/// <param name="Row">The version that was stored, or that <c>If-None-Exist</c> found; null for a read, and for a deletion whose criteria found nothing.</param>
/// <param name="Body">Its JSON; empty for a deletion and where nobody will ask for it.</param>
/// <param name="Stored">False when nothing was changed: <c>If-None-Exist</c> found a match, or a deletion nothing to delete.</param>
/// <param name="Created">Whether it has made a resource that was not there.</param>
/// <param name="IsKept">It is answered as all this says, and nothing was stored: no version of it is in the manifest, for there is none (law 8).</param>
sealed record Written(BundleOperation Operation, Pseudonym Compartment, CompartmentRow? Row, ReadOnlyMemory<byte> Body, bool Stored, bool Created, bool IsKept = false);

/// <param name="Results">In the order of execution.</param>
/// <param name="PolicyVersion">Of the request's compartment right after the commit.</param>
/// <param name="Heads">Where the commit has left the compartments that it wrote to.</param>
sealed record WriteOutcome(IReadOnlyList<Written> Results, long PolicyVersion, IReadOnlyList<WrittenHead> Heads)
{
    /// <summary>What the sender is told about what was accepted: profiles that are not known and were not enforced.</summary>
    public IReadOnlyList<FaultIssue> Warnings { get; init; } = [];
}

/// <summary>
/// Carries out changes, one alone or all of a transaction, in one commit. Everything is checked against a view of the
/// compartment, and the commit succeeds only while that view is still the newest; otherwise it is done over.
/// </summary>
/// <remarks>
/// 1. take the compartments' write turns, open them, check the policy; 2. place each operation: a row, a resource, an id;
/// what is to be patched is patched; 3. rewrite links to the new ids; 4. check references and find each resource's service event; 5. index, serialize,
/// seal; 6. commit. A fault in any of them leaves nothing behind, since nothing is written before 6.
/// </remarks>
sealed class Writing(ICompartmentStore store, OpenedCompartments compartments, KeyClient keys, IdentifierCipher identifiers, ProtectionRules rules, TimeProvider time)
{
    /// <summary>Times that a write begins anew because another process wrote to the same compartment.</summary>
    private const int MaxAttempts = 16;

    private readonly WriteTurns _turns = new();

    /// <param name="parse">
    /// Gives the operations in the order of execution, and their Bundle where there is one. Called again for each attempt,
    /// since an attempt changes the resources.
    /// </param>
    /// <param name="showsFound">Whether the answer shows what <c>If-None-Exist</c> has found.</param>
    public async Task<WriteOutcome> ExecuteAsync(RepositoryRequest request,
        Func<(IReadOnlyList<BundleOperation> Operations, TransactionBundle? Bundle)> parse, bool showsFound, CancellationToken cancel)
    {
        request.Require(GrantUse.Write);
        if (request.Scope.Controller.Length == 0)
            throw new FaultException(new Fault(FaultKind.Denied, "The grant names no data controller to write for."));
        for (var attempt = 0; attempt < MaxAttempts; attempt++)
        {
            var (operations, bundle) = parse();
            var warnings = Validate(request, operations, bundle);
            var writesDirectory = !request.Compartment.IsDirectory
                && operations.Any(o => !o.IsRead && ResourceTypes.PlaceOf(o.Type) == ResourcePlace.Directory);
            if (writesDirectory && request.Directory?.Grant.Use != GrantUse.Write)
                throw new FaultException(new Fault(FaultKind.Denied, "The grant does not cover changes to the directory."));

            // 1.
            using var turn = await _turns.TakeAsync(request.Compartment, writesDirectory, cancel).ConfigureAwait(false);
            using var unit = await WriteUnit.OpenAsync(request, compartments, DepthFor(request, operations), identifiers, rules, bundle is not null, time.GetUtcNow(), cancel).ConfigureAwait(false);
            request.RequirePolicy(unit.Own.View);
            // 2.
            await unit.PlaceAsync(operations, cancel).ConfigureAwait(false);
            // 3.
            if ((bundle is not null || unit.Links.Count > 0) && TransactionBundle.Rewrite(unit.Operations, unit.Links) is { } dangling && bundle is not null)
                throw new FaultException(dangling);
            // 4. and 5.
            unit.CheckAndIndex();
            IReadOnlyList<CompartmentAppend> appends;
            try
            {
                appends = await unit.SealAsync(keys, cancel).ConfigureAwait(false);
            }
            catch (RecordKnownException)
            {
                // Another process has begun the record meanwhile. If the store has lost it, opening it says so.
                continue;
            }
            // 6.
            if (appends.Count > 0)
            {
                if (!await AppendAsync(appends, cancel).ConfigureAwait(false))
                    continue;
                // Durable from here on: whatever happens, the client may not be told that it failed for want of time.
                await unit.CommittedAsync(compartments).ConfigureAwait(false);
            }
            return await unit.OutcomeAsync(showsFound).ConfigureAwait(false) with { Warnings = warnings };
        }
        throw new FaultException(new Fault(FaultKind.Busy, "Others kept changing the same record; send the request again."));
    }

    /// <summary>Whether anything is to be found by what stands in it: criteria, the identity code that a Patient keeps, what a patch may refer to.</summary>
    private static IndexDepth DepthFor(RepositoryRequest request, IReadOnlyList<BundleOperation> operations) => operations.Any(o => !o.IsRead
        && (o.IsConditional || o.Type == "Patient" || o.Method == BundleMethod.Patch
            || (o.Resource is { } resource && References.Of(resource).Any(r => r.Kind == ReferenceKind.Conditional)))) ? IndexDepth.Entries : request.LeastDepth;

    /// <summary>Holds what is to be stored to the specification and to the profiles that it claims, before anybody has to wait for it.</summary>
    /// <returns>Warnings: what is accepted unchecked.</returns>
    /// <exception cref="FaultException">422 with one issue for each rule that does not hold.</exception>
    public static List<FaultIssue> Validate(RepositoryRequest request, IReadOnlyList<BundleOperation> operations, TransactionBundle? bundle)
    {
        var issues = new List<FaultIssue>();
        if (bundle is not null)
            ResourceValidator.CheckBundle(bundle.Profiles, request.UnknownProfiles, issues);
        return ValidateResources(request, operations, bundle is not null, issues);
    }

    /// <summary>Likewise what a patch has made.</summary>
    /// <exception cref="FaultException">422 with one issue for each rule that does not hold.</exception>
    public static void ValidatePatched(RepositoryRequest request, BundleOperation patched, bool isBundle) => ValidateResources(request, [patched], isBundle, []);

    private static List<FaultIssue> ValidateResources(RepositoryRequest request, IReadOnlyList<BundleOperation> operations, bool isBundle, List<FaultIssue> issues)
    {
        var entries = isBundle ? operations.Where(o => o.FullUrl is not null).DistinctBy(o => o.FullUrl).ToDictionary(o => o.FullUrl!, o => o.Type, StringComparer.Ordinal) : null;
        foreach (var operation in operations)
            if (operation.Resource is { } resource)
            {
                if (Subset.TagOf(resource) is { } tag)
                    issues.Add(new("The resource is tagged SUBSETTED: it was read with _summary or _elements, and storing it would lose the rest. Read the whole resource, change that and send it.",
                        $"{(isBundle ? operation.ResourceExpression : resource.TypeName)}.meta.tag[{tag}]", "business-rule") { Message = "read-whole" });
                ResourceValidator.Check(resource, request.UnknownProfiles, issues, isBundle ? operation.ResourceExpression : null, entries);
            }
        return issues.Exists(i => i.Severity == FaultSeverity.Error) ? throw new FaultException(new Fault(FaultKind.Unprocessable, issues)) : issues;
    }

    private async ValueTask<bool> AppendAsync(IReadOnlyList<CompartmentAppend> appends, CancellationToken cancel)
    {
        try
        {
            return await store.AppendAsync(appends, cancel).ConfigureAwait(false);
        }
        catch (StoreException e)
        {
            throw new StoreException("A commit failed.", e) { MayHaveStored = true };
        }
    }
}
