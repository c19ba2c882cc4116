using System.Globalization;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>The notices of a breach case: a list is looked at, two decide about just that list, and it is sent.</summary>
/// <remarks>The list names people: it is kept in memory while the request lasts, and nowhere else.</remarks>
[ForOperators(OperatorRole.DataProtection)]
[RequestFormLimits(MemoryBufferThreshold = OperatorNoticesModel.LongestForm, MultipartBodyLengthLimit = OperatorNoticesModel.LongestForm)]
internal sealed class OperatorNoticesModel(BreachCases cases, IOperatorActs acts) : OperatorPage
{
    /// <summary>Bytes: the list, and what a form has around it.</summary>
    public const int LongestForm = DraftedNotices.LongestList + 64 * 1024;

    public long Number { get; private set; }

    /// <summary>Null: no list is being looked at.</summary>
    public DraftedNotices? Draft { get; private set; }

    public FormProblem? Problem { get; private set; }

    /// <summary>What is wrong with the list, in English; null: nothing is known to be.</summary>
    public string? Explanation { get; private set; }

    public string Address => $"{OperatorCaseModel.AddressOf(Number)}/notices";

    public IActionResult OnGet(long number) => IsThere(number) ? Page() : NotFound();

    /// <summary>Shows what a list would say, and proposes nothing yet.</summary>
    public async Task<IActionResult> OnPostAsync(long number, IFormFile? list, CancellationToken cancel)
    {
        if (!IsThere(number))
            return NotFound();
        Draft = await ReadAsync(list, cancel) is { } bytes ? acts.DraftNotices(bytes) : null;
        return Draft is null ? Refuse(null) : Page();
    }

    /// <summary>Proposes to send the list that was looked at.</summary>
    public async Task<IActionResult> OnPostProposeAsync(long number, [FromForm] string? digest)
    {
        if (!IsThere(number))
            return NotFound();
        var (isUnderstood, refusal) = await acts.ProposeAsync(HttpContext, Who, ApprovalKind.BreachNotices, number.ToString(CultureInfo.InvariantCulture), digest ?? "");
        return !isUnderstood ? Rejected(DecisionRefusal.ChangedMeanwhile) : refusal is { } why ? Rejected(why) : Done("operator-act-proposed", OperatorCaseModel.AddressOf(number));
    }

    /// <summary>Sends a list that two have decided about.</summary>
    public async Task<IActionResult> OnPostSendAsync(long number, IFormFile? list, CancellationToken cancel)
    {
        if (!IsThere(number))
            return NotFound();
        if (await ReadAsync(list, cancel) is not { } bytes)
            return Refuse(null);
        var sent = await acts.SendNoticesAsync(HttpContext, Who, number, bytes);
        return sent.Problem is { } problem ? Refuse(problem.Text) : sent.Refusal is { } why ? Rejected(why) : Done("operator-notices-sent", OperatorCaseModel.AddressOf(number));
    }

    private IActionResult Refuse(string? explanation)
    {
        (Problem, Explanation) = (new("list", "operator.notices.error.list"), explanation);
        return Rejected();
    }

    private bool IsThere(long number)
    {
        Number = number;
        return cases.Find(number) is not null;
    }

    private static async Task<byte[]?> ReadAsync(IFormFile? list, CancellationToken cancel)
    {
        if (list is not { Length: > 0 and <= DraftedNotices.LongestList })
            return null;
        var bytes = new byte[list.Length];
        await using var content = list.OpenReadStream();
        await content.ReadExactlyAsync(bytes, cancel);
        return bytes;
    }
}
