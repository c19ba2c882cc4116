using System.Globalization;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>How far the replacement of keys is, and the ceremonies by which two persons begin it and end it.</summary>
[ForOperators(OperatorRole.Keys, OperatorRole.DataProtection)]
internal sealed class OperatorCeremoniesModel(IOperatorActs acts, Approvals approvals, TimeProvider time) : OperatorActsPage(acts)
{
    public const string Address = "/operator/ceremonies";

    /// <summary>As acts name them.</summary>
    public static readonly IReadOnlyList<string> Keys = ["wrapping-key", "pseudonym-key"], Steps = ["begin", "destroy"];

    /// <summary>Null: it cannot be told now.</summary>
    public KeyProgress? Progress { get; private set; }

    public ShownActs Shown { get; private set; } = null!;

    public bool MayHold => Who.Roles.Contains(OperatorRole.Keys);

    public FormProblem? Problem { get; private set; }

    /// <summary>As it was typed.</summary>
    public string? Key { get; private set; }

    /// <inheritdoc cref="Key"/>
    public string? Version { get; private set; }

    /// <inheritdoc cref="Key"/>
    public string? Step { get; private set; }

    public Task OnGetAsync(CancellationToken cancel) => ReadAsync(cancel);

    /// <summary>Proposes a ceremony.</summary>
    public async Task<IActionResult> OnPostAsync([FromForm] string? key, [FromForm] string? version, [FromForm] string? step, CancellationToken cancel)
    {
        (Key, Version, Step) = (key, version?.Trim(), step);
        if (key is null || !Keys.Contains(key))
            Problem = new("key", "operator.ceremonies.error.key");
        else if (step is null || !Steps.Contains(step))
            Problem = new("step", "operator.ceremonies.error.step");
        else if (!uint.TryParse(Version, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            Problem = new("version", "operator.ceremonies.error.version");
        else
        {
            var (isUnderstood, refusal) = await Decisions.ProposeAsync(HttpContext, Who, ApprovalKind.KeyCeremony, string.Create(CultureInfo.InvariantCulture, $"{key}/{number}"), step);
            if (isUnderstood && refusal is null)
                return Done("operator-act-proposed", Address);
            if (!isUnderstood)
                Problem = new("version", "operator.ceremonies.error.version");
            await ReadAsync(cancel);
            return Rejected(refusal);
        }
        await ReadAsync(cancel);
        return Rejected();
    }

    /// <summary>The second person's answer, or the carrying out.</summary>
    public async Task<IActionResult> OnPostAnswerAsync([FromForm] string? id, [FromForm] string? digest, [FromForm] string? answer, CancellationToken cancel)
    {
        if (approvals.Current.Proposals.GetValueOrDefault(id ?? "") is { } act && act.Kind != ApprovalKind.KeyCeremony)
            return NotFound();
        if (await StepAsync(id, digest, answer) is not (var notice, var refusal))
            return BadRequest();
        if (refusal is null)
            return Done(notice, Address);
        await ReadAsync(cancel);
        return Rejected(refusal);
    }

    private async Task ReadAsync(CancellationToken cancel)
    {
        Progress = await Decisions.ProgressAsync(cancel);
        Shown = ShownActs.Of(approvals.Current, time.GetUtcNow(), static one => one.Kind == ApprovalKind.KeyCeremony, Address, MayHold);
    }
}
