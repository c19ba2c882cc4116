using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Faults;
using KantaGateway.Gateway.Identification;
using Microsoft.AspNetCore.Http.Features;

namespace KantaGateway.Gateway.Forwarding;

/// <summary>On every endpoint whose requests pass the decision of step 3; the few others are named in the convention tests.</summary>
public sealed class PassesDecision
{
    public static readonly PassesDecision Instance = new();
}

/// <summary>What an answer disclosed, for who asked from inside.</summary>
public sealed record DisclosedFeature(DisclosureManifest Manifest);

/// <summary>
/// The path of one FHIR request:
/// <list type="number">
/// <item>Identification: certificate and token to a <see cref="Requester"/>.</item>
/// <item>Interaction: the request to an <see cref="Interaction"/> about one compartment.</item>
/// <item>Consent: <see cref="ConsentDecision.Decide"/> over the compiled policy.</item>
/// <item>Grant: the decision, signed.</item>
/// <item>Audit intent: refusals and writes, durable.</item>
/// <item>Forward: YARP, streaming.</item>
/// <item>Repository: verifies the grant, reads in one snapshot (the other process).</item>
/// <item>Audit outcome: what is really disclosed, durable.</item>
/// <item>Response: first byte.</item>
/// </list>
/// </summary>
internal sealed class GatewayPipeline(
    IIdentification identification, InteractionReader interactions, PolicyLookup policies, EmergencyTrail emergencies, DecisionMetrics metrics, GrantIssuer grants,
    DisclosureAudit audit, RepositoryForwarder repository, BatchSplitter batches, TimeProvider time, OpenRequests open, Revocations revocations, Canaries? canaries = null, BreadthBudgets? breadth = null, Signs? signs = null, GrantAccounts? accounts = null)
{
    /// <summary>A request from outside: steps 1 to 9.</summary>
    public Task InvokeAsync(HttpContext context) => InvokeAsync(context, ServeAsync);

    /// <summary>Step 1 of a request from outside, and what is done for who is identified.</summary>
    /// <param name="serve">Steps 2 to 9, or what asks for them inside.</param>
    public async Task InvokeAsync(HttpContext context, RequestDelegate serve)
    {
        // :: Step 1
        var epoch = revocations.Epoch;
        var (requester, fault) = await identification.IdentifyAsync(context);
        if (requester is null)
        {
            // That there were too many was recorded when it began: a flood must not fill the log.
            if (fault is not null && (fault.Kind == FaultKind.TooMany || AttemptLimits.IsCounted(context)))
                await FaultWriter.WriteAsync(context, fault);
            else
                await RefuseAsync(context, null, null, fault ?? new Fault(FaultKind.NotIdentified, "The caller is not identified."), "not identified");
            return;
        }
        context.Features.Set<IRequesterFeature>(new RequesterFeature(requester));
        open.Enter(context, requester.Bears, epoch);
        await serve(context);
    }

    /// <summary>Steps 2 to 9 for a requester who is already identified: set as <see cref="IRequesterFeature"/>.</summary>
    public async Task ServeAsync(HttpContext context)
    {
        var requester = context.Features.GetRequiredFeature<IRequesterFeature>().Requester;

        // :: Step 2
        switch (await interactions.ReadAsync(context, requester))
        {
            case Reading.Refused refused:
                await RefuseAsync(context, requester, null, refused.Fault, "malformed");
                return;
            case Reading.Batch batch:
                await batches.AnswerAsync(context, requester, batch, ServeAsync);
                return;
            case Reading.Single single:
                await ServeAsync(context, requester, single);
                return;
            case Reading.Validation validation:
                await ValidateAsync(context, requester, validation);
                return;
        }
    }

    /// <summary>Steps 3, 8 and 9 for a request that concerns no compartment: decided and recorded like any other.</summary>
    private async Task ValidateAsync(HttpContext context, Requester requester, Reading.Validation validation)
    {
        var interaction = validation.Interaction;
        var decision = ConsentDecision.Decide(requester, interaction, PolicySnapshot.Empty, null, time.GetUtcNow());
        if (decision is not Decision.Permit permit)
        {
            await RefuseAsync(context, requester, interaction, decision);
            return;
        }
        context.Response.Headers[Receipt.Header] = await audit.OutcomeAsync(context, requester, interaction, permit, PolicySnapshot.Empty, time.GetUtcNow(), StatusCodes.Status200OK, null);
        context.Response.Headers.CacheControl = "no-store";
        await FaultWriter.WriteAsync(context, FaultTable.ToOperationOutcome(new(FaultKind.Unprocessable, validation.Issues), Correlation.Of(context),
            OutcomeLanguages.Of(context.Request.Headers.AcceptLanguage)));
    }

    private async Task ServeAsync(HttpContext context, Requester requester, Reading.Single single)
    {
        var interaction = single.Interaction;
        if (canaries is not null && await canaries.TouchedAsync(requester, interaction.Compartment))
        {
            await RefuseAsync(context, requester, interaction, Canaries.Refusal, "contained");
            return;
        }
        var now = time.GetUtcNow();
        var intended = false;
        // An emergency of anybody that nobody has reviewed in time bars them all.
        if (requester is { Kind: RequesterKind.Professional, PurposeOfUse: "ETREAT" } && !interaction.Compartment.IsDirectory && await emergencies.IsOverdueAsync(context, requester))
            requester = requester with { EmergencyIsOverdue = true };
        var content = single.IsStreamed ? new StreamedContent(context.Request) : null;
        var (isSpent, isRestricted) = (false, false);
        // What is decided and forwarded: a change by id of what is not there for who asks is one in nobody's record, where every id is absent. What is recorded is what was asked for.
        var sought = interaction;
        bool? isTreated = null;
        // A policy that moved between decision and reading is decided again, and a grant that has opened a record before is signed anew, once each.
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            // :: Step 3
            var policy = PolicySnapshot.Empty;
            CareRelationship? relationship = null;
            if (isRestricted || ConsentDecision.NeedsPolicy(requester, sought))
            {
                // The repository vouches for the version behind a read. A write inside the own register rests on none, so it
                // is decided on the policy now in force; a kept one could hide what has been permitted since.
                policy = interaction.IsWrite
                    ? await policies.FetchAsync(requester, sought.Compartment, context.RequestAborted)
                    : await policies.OfAsync(requester, sought.Compartment, context.RequestAborted);
                relationship = policy.RelationshipOf(requester.Organisation.ToString(), interaction.ServiceEvent, now, requester.Unit);
            }
            // Whoever is refused has asked too.
            if (isTreated is not true && ReferenceEquals(sought, interaction) && (breadth is not null || signs is not null) && interaction.Reads && BreadthBudgets.Concerns(requester, interaction.Compartment))
            {
                var was = isTreated;
                isTreated = relationship is not null || await IsTreatedAsync(requester, interaction, policy, now, context.RequestAborted);
                if (was is null)
                    signs?.Look(requester, context.Connection.RemoteIpAddress, interaction.Compartment, interaction.Sought, isTreated.Value);
                if (breadth is not null && await breadth.OpenAsync(requester, interaction.Compartment, isTreated.Value) is { } tooMany)
                {
                    // An id that was never given out is in nobody's record, and one that is hidden may be in that of somebody who is treated: to who is held both look alike.
                    var isById = tooMany == BreadthBudgets.Exceeded && interaction is { IsById: true, Type: not "Patient" };
                    if (!isById || !interaction.IsWrite)
                    {
                        await RefuseAsync(context, requester, interaction, isById ? Fault.Absent : tooMany, "breadth");
                        return;
                    }
                    (sought, policy, relationship) = (interaction with { Compartment = Pseudonym.Nobody }, PolicySnapshot.Empty, null);
                    if (ConsentDecision.NeedsPolicy(requester, sought))
                        policy = await policies.FetchAsync(requester, sought.Compartment, context.RequestAborted);
                }
            }
            var decision = ConsentDecision.Decide(requester, sought, policy, relationship, now);
            if (decision is not Decision.Permit permit)
            {
                if (decision is Decision.Deny { Reason: DenyReason.AsIfAbsent } && ReferenceEquals(sought, interaction))
                {
                    (sought, isRestricted) = (interaction with { Compartment = Pseudonym.Nobody }, false);
                    attempt--;
                    continue;
                }
                // The repository vouches for the policy behind a permit, nobody does for the one behind a refusal: ask anew, once.
                if (attempt == 1 && policies.Forget(sought.Compartment, policy))
                    continue;
                metrics.Count(decision);
                await RefuseAsync(context, requester, interaction, decision);
                return;
            }

            metrics.Count(permit);

            // :: Step 4
            var use = interaction.IsWrite ? GrantUse.Write : GrantUse.Read;
            var grant = await grants.ForAsync(requester, sought.Compartment, use, permit.Scope, permit.RestsOnPolicy ? policy.Version : null, isSpent);
            var directoryGrant = interaction.ReachesDirectory
                ? await grants.ForAsync(requester, Pseudonym.Directory, interaction.WritesDirectory ? GrantUse.Write : GrantUse.Read, ConsentDecision.DirectoryBeside(requester, sought), null, isSpent)
                : null;

            // :: Step 5. An intent on disk means: whatever happens to the write, that it was asked for is known.
            if (interaction.IsWrite && !intended)
            {
                await audit.IntentAsync(context, requester, interaction, permit);
                if (interaction.Declares is EmergencyAccess)
                    emergencies.Mark(requester, interaction.Compartment);
                intended = true;
            }

            // :: Steps 6 to 9
            if (content is null)
                context.Request.Body = new ReadOnlyMemoryStream(single.Body);
            using var underWay = accounts?.Begin(requester, sought.Compartment);
            var (end, manifest, unrecorded) = await repository.ForwardAsync(context, sought.Compartment, grant, directoryGrant, interaction.IsWrite, content,
                async (status, disclosed) =>
                {
                    var receipt = await audit.OutcomeAsync(context, requester, interaction, permit, policy, now, status, disclosed);
                    if (breadth is not null && interaction.IsWrite && relationship is null && status < 300)
                        await JustifyAsync(requester, interaction);
                    return receipt;
                });
            switch (end)
            {
                case ForwardEnd.Answered:
                    underWay?.HasLeft = true;
                    if (manifest is not null)
                        context.Features.Set(new DisclosedFeature(manifest));
                    return;
                case ForwardEnd.GrantRefused when isSpent:
                    throw new FaultException(new Fault(FaultKind.StoreUnavailable, "The repository takes no grant of this gateway: their clocks or keys differ. Nothing was disclosed or stored; try again later."));
                case ForwardEnd.PolicyMoved or ForwardEnd.GrantSpent or ForwardEnd.GrantRefused:
                    // Of a decision that rested on none the repository says that the person disputes somebody's access.
                    isRestricted |= end == ForwardEnd.PolicyMoved && !permit.RestsOnPolicy;
                    if (end == ForwardEnd.PolicyMoved)
                        policies.Forget(sought.Compartment, policy);
                    isSpent |= end != ForwardEnd.PolicyMoved;
                    // A content may have been an hour under way.
                    now = time.GetUtcNow();
                    context.Response.Clear();
                    // What has streamed by and come to nothing cannot be sent again from here.
                    if (content is { CanBeSent: false })
                        throw new FaultException(new Fault(FaultKind.Busy, "The person's policy changed, or the record was closed, while the content was sent. Nothing was stored; send it again."));
                    continue;
                case ForwardEnd.NotRecorded:
                    throw new FaultException(unrecorded is FaultException { Fault: var why } ? why : DisclosureAudit.Unavailable);
                case ForwardEnd.Unreachable:
                    throw new FaultException(new Fault(FaultKind.StoreUnavailable, "The repository cannot be reached. Nothing was disclosed or stored; try again."));
                default:
                    throw new FaultException(new Fault(FaultKind.UpstreamFailed, interaction.IsWrite
                        ? "The repository broke off. Whether it stored this is not known: read before you send it again."
                        : "The repository broke off. Try again."));
            }
        }
        throw new FaultException(new Fault(FaultKind.Busy, "The person's policy is changing at this moment. Nothing was disclosed or stored; try again."));
    }

    /// <summary>Whether an open service event of the requester's organisation justifies it to open the person. A kept policy may be from before the visit, so of somebody who was not counted the policy is asked for anew.</summary>
    private async ValueTask<bool> IsTreatedAsync(Requester requester, Interaction interaction, PolicySnapshot policy, DateTimeOffset now, CancellationToken cancel)
    {
        if (!ConsentDecision.NeedsPolicy(requester, interaction))
            policy = await policies.OfAsync(requester, interaction.Compartment, cancel);
        if (IsIn(policy))
            return true;
        if (breadth?.IsCounted(requester, interaction.Compartment) is not false)
            return false;
        return IsIn(await policies.FetchAsync(requester, interaction.Compartment, cancel));

        bool IsIn(PolicySnapshot its) => its.RelationshipOf(requester.Organisation.ToString(), null, now, requester.Unit) is not null;
    }

    /// <summary>Who has written a visit or a booking of somebody who was looked up before it need not count that.</summary>
    private async Task JustifyAsync(Requester requester, Interaction interaction)
    {
        var opens = false;
        for (var i = 0; i < interaction.Needs.Count; i++)
            opens |= interaction.Needs[i] is { Type: "Encounter" or "Appointment", Letter: 'c' or 'u' };
        if (!opens || !BreadthBudgets.Concerns(requester, interaction.Compartment))
            return;
        // At the desk one looks, and another opens the visit.
        var others = await breadth!.LookedUpAsync(requester, interaction.Compartment);
        // A system that archives writes visits all day; a professional may have looked the person up at another gateway.
        if (requester.Kind == RequesterKind.System && others.Count == 0 && !breadth.IsCounted(requester, interaction.Compartment))
            return;
        try
        {
            if ((await policies.FetchAsync(requester, interaction.Compartment, CancellationToken.None)).RelationshipOf(requester.Organisation.ToString(), null, time.GetUtcNow(), requester.Unit) is not null)
                await breadth.JustifyAsync(requester, interaction.Compartment, others);
        }
        catch (FaultException)
        {
            // It was answered; counted once too much, care goes on.
        }
    }

    private Task RefuseAsync(HttpContext context, Requester requester, Interaction interaction, Decision decision)
    {
        var reason = decision is Decision.Deny deny ? deny.Reason : DenyReason.NoLegalBasis;
        return RefuseAsync(context, requester, interaction, Refusals.FaultOf(reason), reason.ToString());
    }

    // :: Step 5
    private Task RefuseAsync(HttpContext context, Requester? requester, Interaction? interaction, Fault fault, string reason) => audit.RefuseAsync(context, requester, interaction, fault, reason);
}
